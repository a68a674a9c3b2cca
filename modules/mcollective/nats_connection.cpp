#include "nats_connection.hpp"

#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <random>

namespace gorgone::mcollective {
namespace {

std::string random_name() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}", device(), device(), device());
}

std::int64_t now_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

}  // namespace

NatsConnection::NatsConnection(Agent& agent, NatsSpec spec)
    : agent_(agent), spec_(std::move(spec)), inbox_("_INBOX." + random_name() + "."), limit_(agent.loop()) {}

NatsConnection::~NatsConnection() { thread_.reset(); }

void NatsConnection::start() {
  status_.since_s = now_s();
  auto wake = [this, &loop = agent_.loop(), alive = std::weak_ptr<bool>(alive_)] {
    asio::post(loop, [this, alive] {
      if (!alive.expired()) look();
    });
  };
  thread_ = std::make_unique<NatsThread>(spec_, std::move(wake));
  thread_->subscribe(inbox_ + "*");
  for (const auto& [subject, handler] : handlers_) thread_->subscribe(subject);
}

asio::awaitable<void> NatsConnection::stop() {
  status_.is_up = false;
  waiting_.clear();
  limit_.cancel();
  if (!thread_) co_return;
  thread_->shut();
  auto end = [thread = std::shared_ptr<NatsThread>(std::move(thread_))]() mutable {
    thread.reset();
    return true;
  };
  co_await agent_.blocking(std::move(end));
}

void NatsConnection::look() {
  if (!thread_) return;
  auto news = thread_->take();
  for (auto& failure : news.failures) {
    if (failure != status_.last_error) agent_.log().warning("backbone: {}", printable(failure, 300));
    status_.last_error = std::move(failure);
  }
  status_.dropped_in += news.dropped_in;
  status_.dropped_out += news.dropped_out;
  for (auto& link : news.links) changed(std::move(link));
  for (const auto& message : news.messages) received(message);
}

void NatsConnection::changed(NatsNews::Link link) {
  if (!link.is_up) {
    if (!link.why.empty() && link.why != status_.last_error) {
      agent_.log().warning("the backbone is away: {}", printable(link.why, 300));
      status_.last_error = link.why;
    }
    if (!status_.is_up) return;
    status_.is_up = false;
    status_.since_s = now_s();
    fail_all(link.why);
  } else {
    payload_max_ = link.payload_max;
    status_.server = link.server;
    status_.last_error.clear();
    if (status_.is_up) return;
    status_.is_up = true;
    status_.since_s = now_s();
    ++status_.connects;
    agent_.log().info("joined the backbone by {}", printable(link.server));
  }
  for (const auto& listener : listeners_) listener(status_.is_up);
}

void NatsConnection::received(const NatsMessage& message) {
  ++status_.in;
  if (message.subject.starts_with(inbox_)) {
    std::uint64_t question = 0;
    const auto* end = message.subject.data() + message.subject.size();
    std::from_chars(message.subject.data() + inbox_.size(), end, question);
    answered(question, message);
    return;
  }
  const auto found = handlers_.find(message.subject);
  if (found == handlers_.end()) return;
  const auto handler = found->second;  // it may unsubscribe
  handler(message);
}

bool NatsConnection::send(NatsOutgoing message) {
  if (!status_.is_up || !thread_ || !thread_->send(std::move(message))) {
    ++status_.dropped_out;
    return false;
  }
  ++status_.out;
  return true;
}

void NatsConnection::ask(NatsOutgoing question, Answer answer) {
  const auto id = ++questions_;
  question.reply = inbox_ + std::to_string(id);
  const bool is_sent = send(std::move(question));
  waiting_[id] = Waiting{std::move(answer), std::chrono::steady_clock::now() + answer_within};
  if (is_sent) return watch_time();
  asio::post(agent_.loop(), [this, id, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) answered(id, Error{"the backbone is away", "away"});
  });
}

void NatsConnection::answered(std::uint64_t question, Result<NatsMessage> answer) {
  const auto found = waiting_.find(question);
  if (found == waiting_.end()) return;
  const auto told = std::move(found->second.answer);
  waiting_.erase(found);
  if (answer && answer->status == 503)
    told(Error{"nobody in the NATS cluster answers this: JetStream is off there, or a stream has no leader now", "away"});
  else
    told(std::move(answer));
}

void NatsConnection::fail_all(const std::string& why) {
  std::vector<std::uint64_t> questions;
  for (const auto& [id, waiting] : waiting_) questions.push_back(id);
  const Error error{"the backbone is away: " + why, "away"};
  for (const auto id : questions) answered(id, error);
}

void NatsConnection::watch_time() {
  if (is_watching_ || waiting_.empty()) return;
  is_watching_ = true;
  limit_.expires_at(waiting_.begin()->second.until);
  limit_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    is_watching_ = false;
    const auto now = std::chrono::steady_clock::now();
    while (!waiting_.empty() && waiting_.begin()->second.until <= now) {
      const auto id = waiting_.begin()->first;
      answered(id, Error{"the NATS cluster gave no answer within 3 s", "away"});
    }
    watch_time();
  });
}

void NatsConnection::subscribe(const std::string& subject, Handler handler) {
  handlers_[subject] = std::move(handler);
  if (thread_) thread_->subscribe(subject);
}

void NatsConnection::unsubscribe(const std::string& subject) {
  if (handlers_.erase(subject) > 0 && thread_) thread_->unsubscribe(subject);
}

}  // namespace gorgone::mcollective
