#pragma once
// A command on its way through the process (docs/protocol.md, Messages): a moved object whose JSON is parsed at most once.

#include <gorgone/json.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace gorgone {

/// What a PING and a PONG say that this daemon can do (docs/protocol.md, "Between our own agents"), a JSON list of names.
inline constexpr std::string_view own_features = R"(["delivery","log_wait","content","raw"])";

/// The data of a message: its JSON text as it came, the parsed value, or both. Each is made from the other at most
/// once, when somebody asks. Not thread-safe; owned by its message. Large data may have its member `bytes` beside it as raw bytes, which
/// a link sends as they are to a peer with the feature "raw"; to everybody else it is ordinary JSON, with them in base64.
class GORGONE_API Payload {
 public:
  Payload() : text_("{}") {}
  explicit Payload(std::string text) : text_(std::move(text)) {}
  explicit Payload(const char* text) : text_(text) {}
  explicit Payload(json::value value) : value_(std::move(value)) {}
  /// `head` is the text of a JSON object with at least one member and without `bytes`.
  Payload(std::string head, std::string bytes) : head_(std::move(head)), bytes_(std::move(bytes)) {}

  /// Compact JSON for our own values; the text as it came for those of peers.
  const std::string& text() const;
  /// The parsed value, owned by the payload; an Error where the text is no JSON.
  Result<const json::value*> json() const;

  /// The raw bytes, nullptr where there are none.
  const std::string* bytes() const { return bytes_ ? &*bytes_ : nullptr; }
  /// The JSON without the raw bytes; without any the same as text().
  const std::string& head() const { return bytes_ ? head_ : text(); }
  /// How much there is to send or to keep.
  std::size_t size() const { return bytes_ ? head_.size() + bytes_->size() : text().size(); }

 private:
  std::string head_;
  std::optional<std::string> bytes_;
  mutable std::optional<std::string> text_;
  mutable std::optional<json::value> value_;
};

/// Where a message came from.
struct Origin {
  enum class Kind {
    internal,  ///< a module of this process
    api,       ///< the HTTP API
    client,    ///< a session of our listener; `id` is its routing id
    node,      ///< a node that a link leads to; `id` is the node's id
    parent,    ///< a daemon that this node has dialled (pull, pullwss) and that gives it work
  };
  Kind kind = Kind::internal;
  std::string id = {};
};

struct Message {
  std::string action;
  std::string token;   ///< empty: the router draws one
  std::string target;  ///< empty or the own id: for this node
  Payload data;
  Origin origin = {};
  /// The id under which it runs once, however often it is sent, the same on all hops; empty: it has none yet.
  std::string delivery = {};
  std::int64_t ttl_s = 0;  ///< how long it may wait for its node; 0: as configured
};

/// A message between two of our own agents, wrapped so that it runs once (docs/protocol.md, DELIVER): its token is the delivery id,
/// under which it is acknowledged, `ttl_s` the time that it has left.
GORGONE_API Message wrap_delivery(const Message& message, std::int64_t ttl_s);
/// The message in a DELIVER, an Error where there is none.
GORGONE_API Result<Message> unwrap_delivery(const Message& wrapped);

/// What a request is answered with at once: `[kind] [token] {"code":code,"data":data}`.
struct Answer {
  std::string kind = "ACK";
  std::string token;
  int code = 0;
  Payload data = Payload("null");
};

/// Whether a message that was refused is taken where it is sent again later. `error` is the code of the Error, or what the data of an
/// answer with code 1 has under that name.
constexpr bool is_refused_for_now(std::string_view error) { return error == "busy" || error == "starting" || error == "stopping"; }

/// Takes the one answer to a request; may be empty where nobody waits. Called on the loop, once.
using Reply = std::function<void(Answer)>;

/// 128 random hex characters, as deployed daemons draw them.
GORGONE_API std::string new_token();

}  // namespace gorgone
