#include "nats_worker.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

namespace gorgone::mcollective {
namespace {

constexpr std::int64_t connect_ms = 2000, write_ms = 5000, ping_ms = 5000, flush_ms = 500;
constexpr int unanswered_pings_max = 2;
constexpr std::int64_t again_ms = 500, again_jitter_ms = 500;
constexpr auto connect_anew_after = std::chrono::seconds(1);

NatsGate& gate_of(void* closure) { return *static_cast<NatsGate*>(closure); }

std::string server_of(natsConnection* connection) {
  char url[512] = "";
  if (natsConnection_GetConnectedUrl(connection, url, sizeof url) != NATS_OK) return {};
  std::string server = url;
  const auto scheme = server.find("://");
  const auto at = server.rfind('@');
  if (at != std::string::npos && scheme != std::string::npos) server.erase(scheme + 3, at - scheme - 2);
  return server;
}

void told_up(natsConnection* connection, void* closure) {
  NatsNews::Link link;
  link.is_up = true;
  link.server = server_of(connection);
  link.payload_max = static_cast<std::size_t>(natsConnection_GetMaxPayload(connection));
  gate_of(closure).link(std::move(link));
}

std::string last_error_of(natsConnection* connection) {
  const char* why = nullptr;
  natsConnection_GetLastError(connection, &why);
  return why ? why : "";
}

void told_down(natsConnection* connection, void* closure) {
  NatsNews::Link link;
  link.why = last_error_of(connection);
  if (link.why.empty()) link.why = "the server closed the connection";
  gate_of(closure).link(std::move(link));
}

// The client gives up where it was refused twice; we do not.
void told_closed(natsConnection* connection, void* closure) {
  NatsNews::Link link;
  link.why = last_error_of(connection);
  if (!link.why.empty()) gate_of(closure).link(std::move(link));
  gate_of(closure).closed();
}

void told_failure(natsConnection* connection, natsSubscription*, natsStatus status, void* closure) {
  const char* more = nullptr;
  natsConnection_GetLastError(connection, &more);
  gate_of(closure).failure(fmt::format("{}{}{}", natsStatus_GetText(status), more && *more ? ": " : "", more ? more : ""));
}

void told_message(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
  NatsMessage told;
  told.subject = natsMsg_GetSubject(message);
  told.data.assign(natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message)));
  const char* value = nullptr;
  if (natsMsgHeader_Get(message, "Status", &value) == NATS_OK && value) told.status = std::atoi(value);
  if (natsMsgHeader_Get(message, "Nats-Sequence", &value) == NATS_OK && value) told.sequence = std::strtoull(value, nullptr, 10);
  natsMsg_Destroy(message);
  gate_of(closure).message(std::move(told));
}

// What this thread's last call failed of.
std::string reason(natsStatus status) {
  const char* known = nats_GetLastError(nullptr);
  std::string_view more = known ? known : "";
  // "(conn.c:733): " is for the authors of the client.
  if (const auto end = more.find("): "); more.starts_with('(') && end != std::string_view::npos) more.remove_prefix(end + 3);
  return fmt::format("{}{}{}", natsStatus_GetText(status), more.empty() ? "" : ": ", more);
}

const char* text_or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

}  // namespace

NatsWorker::NatsWorker(NatsSpec spec, NatsGate& gate) : spec_(std::move(spec)), gate_(gate) {
  gate_.on_closed([this] {
    std::lock_guard lock(mutex_);
    is_closed_ = true;
    wake_.notify_one();
  });
  thread_ = std::thread([this] { run(); });
}

NatsWorker::~NatsWorker() {
  {
    std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
  gate_.on_closed({});
}

bool NatsWorker::push(NatsJob job) {
  const auto bytes = job.message.payload.size() + job.message.subject.size();
  {
    std::lock_guard lock(mutex_);
    const bool is_full = jobs_.size() >= NatsThread::waiting_max || (bytes_ > 0 && bytes_ + bytes > NatsThread::waiting_bytes_max);
    if (job.kind == NatsJob::Kind::publish && is_full) return false;
    bytes_ += bytes;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

std::deque<NatsJob> NatsWorker::wait() {
  std::unique_lock lock(mutex_);
  const auto something = [this] { return is_ending_ || is_closed_ || !jobs_.empty(); };
  // Without a connection what is asked waits for the next attempt.
  if (!connection_)
    wake_.wait_for(lock, connect_anew_after, [this] { return is_ending_; });
  else
    wake_.wait(lock, something);
  bytes_ = 0;
  return std::exchange(jobs_, {});
}

bool NatsWorker::is_ending() {
  std::lock_guard lock(mutex_);
  return is_ending_;
}

void NatsWorker::run() {
  connect();
  for (;;) {
    auto jobs = wait();
    for (auto& job : jobs) perform(job);
    if (is_ending()) break;
    bool is_closed = false;
    {
      std::lock_guard lock(mutex_);
      is_closed = std::exchange(is_closed_, false);
    }
    if (!connection_)
      connect();
    else if (is_closed && natsConnection_IsClosed(connection_))
      disconnect();  // and connect after a pause
  }
  if (connection_ && natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED) natsConnection_FlushTimeout(connection_, flush_ms);
  disconnect();
  nats_ReleaseThreadMemory();
}

void NatsWorker::failed(const std::string& what, natsStatus status) { gate_.failure(what + ": " + reason(status)); }

std::string NatsWorker::set_options(natsOptions* options) const {
  std::vector<const char*> servers;
  for (const auto& server : spec_.servers) servers.push_back(server.c_str());
  std::string wrong;
  const auto set = [&wrong](const char* what, natsStatus status) {
    if (status == NATS_OK || !wrong.empty()) return;
    wrong = fmt::format("{}: {}", what, reason(status));
  };
  auto* const gate = &gate_;
  set("backbone", natsOptions_SetServers(options, servers.data(), static_cast<int>(servers.size())));
  set("name", natsOptions_SetName(options, spec_.name.c_str()));
  if (!spec_.credentials.empty())
    set("backbone_credentials", natsOptions_SetUserCredentialsFromFiles(options, spec_.credentials.c_str(), nullptr));
  if (!spec_.user.empty()) set("backbone_user", natsOptions_SetUserInfo(options, spec_.user.c_str(), text_or_null(spec_.password)));
  if (!spec_.token.empty()) set("backbone_token", natsOptions_SetToken(options, spec_.token.c_str()));
  if (spec_.tls) {
    set("tls", natsOptions_SetSecure(options, true));
    if (!spec_.tls_ca.empty()) set("backbone_tls.ca", natsOptions_LoadCATrustedCertificates(options, spec_.tls_ca.c_str()));
    if (!spec_.tls_cert.empty())
      set("backbone_tls.cert", natsOptions_LoadCertificatesChain(options, spec_.tls_cert.c_str(), spec_.tls_key.c_str()));
    if (!spec_.tls_verify) set("backbone_tls.verify", natsOptions_SkipServerVerification(options, true));
  }
  set("timeout", natsOptions_SetTimeout(options, connect_ms));
  set("write deadline", natsOptions_SetWriteDeadline(options, write_ms));
  set("ping", natsOptions_SetPingInterval(options, ping_ms));
  set("pings", natsOptions_SetMaxPingsOut(options, unanswered_pings_max));
  set("reconnect", natsOptions_SetMaxReconnect(options, -1));
  set("pause", natsOptions_SetReconnectWait(options, again_ms));
  set("jitter", natsOptions_SetReconnectJitter(options, again_jitter_ms, again_jitter_ms));
  set("echo", natsOptions_SetNoEcho(options, true));
  set("one thread for all messages", natsOptions_UseGlobalMessageDelivery(options, true));
  set("reconnected", natsOptions_SetReconnectedCB(options, told_up, gate));
  set("disconnected", natsOptions_SetDisconnectedCB(options, told_down, gate));
  set("closed", natsOptions_SetClosedCB(options, told_closed, gate));
  set("errors", natsOptions_SetErrorHandler(options, told_failure, gate));
  return wrong;
}

void NatsWorker::connect() {
  natsOptions* options = nullptr;
  auto status = natsOptions_Create(&options);
  if (status != NATS_OK) return failed("options", status);
  const auto wrong = set_options(options);
  if (!wrong.empty()) {
    NatsNews::Link link;
    link.why = wrong;
    gate_.link(std::move(link));
    natsOptions_Destroy(options);
    return;
  }
  status = natsConnection_Connect(&connection_, options);
  natsOptions_Destroy(options);
  if (status == NATS_OK) {
    told_up(connection_, &gate_);
  } else {
    // The client's own way to go on trying keeps to itself why it failed.
    NatsNews::Link link;
    link.why = reason(status);
    gate_.link(std::move(link));
  }
  if (!connection_) return;
  for (auto& [subject, subscription] : subscriptions_) subscribe(subject);
}

void NatsWorker::disconnect() {
  for (auto& [subject, subscription] : subscriptions_) {
    natsSubscription_Destroy(subscription);
    subscription = nullptr;
  }
  natsConnection_Destroy(connection_);
  connection_ = nullptr;
}

void NatsWorker::perform(NatsJob& job) {
  switch (job.kind) {
    case NatsJob::Kind::publish:
      return publish(job.message);
    case NatsJob::Kind::subscribe:
      if (subscriptions_.emplace(job.message.subject, nullptr).second) subscribe(job.message.subject);
      return;
    case NatsJob::Kind::unsubscribe: {
      const auto found = subscriptions_.find(job.message.subject);
      if (found == subscriptions_.end()) return;
      if (found->second) natsSubscription_Unsubscribe(found->second);
      natsSubscription_Destroy(found->second);
      subscriptions_.erase(found);
    }
  }
}

void NatsWorker::publish(const NatsOutgoing& message) {
  // What is late is of no use to anyone: who must know of it asks again.
  if (!connection_ || natsConnection_Status(connection_) != NATS_CONN_STATUS_CONNECTED) return gate_.count_unsent(1);
  const auto bytes = static_cast<int>(message.payload.size());
  natsStatus status = NATS_OK;
  if (message.headers.empty()) {
    status = message.reply.empty() ? natsConnection_Publish(connection_, message.subject.c_str(), message.payload.data(), bytes)
                                   : natsConnection_PublishRequest(connection_, message.subject.c_str(), message.reply.c_str(),
                                                                   message.payload.data(), bytes);
  } else {
    natsMsg* built = nullptr;
    status = natsMsg_Create(&built, message.subject.c_str(), text_or_null(message.reply), message.payload.data(), bytes);
    for (const auto& [key, value] : message.headers)
      if (status == NATS_OK) status = natsMsgHeader_Set(built, key.c_str(), value.c_str());
    if (status == NATS_OK) status = natsConnection_PublishMsg(connection_, built);
    natsMsg_Destroy(built);
  }
  if (status == NATS_OK) return;
  failed("message to " + message.subject, status);
  gate_.count_unsent(1);
}

void NatsWorker::subscribe(const std::string& subject) {
  if (!connection_) return;  // it is when there is one
  auto& subscription = subscriptions_[subject];
  const auto status = natsConnection_Subscribe(&subscription, connection_, subject.c_str(), told_message, &gate_);
  if (status != NATS_OK && status != NATS_CONNECTION_CLOSED) failed("subscription to " + subject, status);
}

}  // namespace gorgone::mcollective
