#include <core/config/core_schema.hpp>

namespace gorgone {

namespace {

using enum OptionType;

Schema identity_options() {
  return {
      Option{"id", text, "", "the node's id in Centreon; where it is missing the nodes module gives it"},
      Option{"hostname", text, "", "the name told to peers; where it is missing the system's name"},
      Option{"privkey", path, "/var/lib/centreon-gorgone/.keys/rsakey.priv.pem", "the node's private key; made at the first start"},
      Option{"pubkey", path, "/var/lib/centreon-gorgone/.keys/rsakey.pub.pem", "the node's public key; made at the first start"},
      Option{"fingerprint_mode", text, "first", "whether a server's key is trusted: always, as seen first, or only as known already"}
          .one_of({"always", "first", "strict"}),
      Option{"fingerprint_mgr", anything, "", "where fingerprints are kept; ours are in the database"}.ignored(),
  };
}

Schema listener_options() {
  return {
      Option{"external_com_type", text, "", "how peers connect to this node; missing: there is no listener"}.one_of({"tcp"}),
      Option{"external_com_path", text, "*:5555", "address and port that peers connect to"},
      Option{"external_com_cipher", text, "AES", "cipher of the sessions of peers"}.one_of({"AES"}),
      Option{"external_com_keysize", integer, "32", "length of the sessions' keys"}.one_of({"16", "24", "32"}).in("bytes"),
      Option{"external_com_padding", boolean, "1", "whether texts are padded to the cipher's blocks"},
      Option{"external_com_rotation", integer, "1440", "age at which a session's key is changed"}.range(1, 525600).in("minutes"),
      Option{"external_com_zmq_tcp_keepalive", boolean, "1",
             "whether connections of clients that have been silent for 60 s are probed every 15 s, and ended when four probes in a row had "
             "no answer"},
      Option{"external_com_zmq_router_handover", boolean, "1", "whether a peer that connects again takes over its old connection"},
      Option{"authorized_clients", list, "", "the peers that may connect; missing: none may"},
      Option{"authorized_clients[].key", text, "", "thumbprint of the peer's public key"}.required(),
      Option{"ipv6", boolean, "false", "whether IPv6 is used beside IPv4"},
      Option{"max_message_size", integer, "33554432", "largest frame taken from a client; the connection of one that sends more is closed"}
          .range(65536, 2147483647)
          .in("bytes"),
      Option{"max_strangers_bytes", integer, "67108864",
             "what all connections without a session may hold together of messages that have not come whole; beyond it those that hold "
             "something for longest are closed, and beyond as much growth of memory any that hold messages of very many parts; at least "
             "max_message_size"}
          .range(65536, 17179869184)
          .in("bytes"),
      Option{"max_strangers", integer, "2000",
             "connections over which no session has spoken yet, such as those that greet; beyond it the oldest of them is closed. One more "
             "for each node of type pull that is known here, for all of these may come back at once"}
          .range(10, 1000000)
          .in("connections"),
      Option{
          "max_unused_sessions", integer, "1000",
          "sessions that were opened and of which no message has come yet; beyond it the oldest of them is dropped. One more for each node "
          "of type pull that is known here"}
          .range(10, 1000000)
          .in("sessions"),
      Option{"max_answer_size", integer, "268435456", "largest frame taken from a node that this one connects to, such as its log"}
          .range(65536, 2147483647)
          .in("bytes"),
      Option{"max_unread_bytes", integer, "33554432",
             "answers that a client may leave unread; the session of one that leaves more is ended"}
          .range(65536, 2147483647)
          .in("bytes"),
      Option{"max_log_answer_size", integer, "16777216",
             "about so much of rows is told in one answer to GETLOG, or of the HTTP API; of more the oldest are told, and the next "
             "question, from the newest ctime that came, brings the rest"}
          .range(1048576, 1073741824)
          .in("bytes"),
  };
}

Schema database_options() {
  return {
      Option{"gorgone_db_type", text, "SQLite", "kind of the database of history and sessions"}.one_of({"SQLite"}),
      Option{"gorgone_db_name", text, "dbname=/var/lib/centreon-gorgone/history.sdb", "file of the database, with or without \"dbname=\""},
      Option{
          "gorgone_db_synchronous", text, "normal",
          "whether each commit is forced to the disk (full), so that what was accepted survives a loss of power too; normal survives any "
          "end of the process"}
          .one_of({"normal", "full"}),
      Option{"gorgone_db_autocreate_schema", boolean, "1", "missing tables are always made"}.ignored(),
      Option{"gorgone_db_host", text, "", "a file has no host"}.ignored(),
      Option{"gorgone_db_port", text, "", "a file has no port"}.ignored(),
      Option{"gorgone_db_user", text, "", "a file has no user"}.ignored(),
      Option{"gorgone_db_password", text, "", "a file has no password"}.secret().ignored(),
  };
}

Schema daemon_options() {
  return {
      Option{"timeout", integer, "50", "how long modules and children get to end at a stop"}.range(1, 3600).in("seconds"),
      Option{"proxy_name", text, "proxy", "the ways to other nodes are always those of the module proxy"}.ignored(),
      Option{"modules_dir", path, "", "folder of the modules; missing: ../lib/gorgone/modules beside the program"},
      Option{"internal_com_*", anything, "", "modules talk to the core in the same process"}.ignored(),
  };
}

}  // namespace

const Schema& core_schema() {
  static const Schema schema = [] {
    Schema all;
    for (Schema part : {identity_options(), listener_options(), database_options(), daemon_options()}) {
      for (Option& option : part) all.push_back(std::move(option));
    }
    return all;
  }();
  return schema;
}

}  // namespace gorgone
