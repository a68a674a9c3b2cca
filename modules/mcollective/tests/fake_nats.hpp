#pragma once
// One NATS server that answers stored messages as a test says, for what a real one does only when it is in trouble. It speaks the part of
// the protocol that the client uses, on a thread of its own.

#include <boost/asio.hpp>

#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gorgone::mcollective::test {

namespace asio = boost::asio;

class FakeNats {
 public:
  explicit FakeNats(std::size_t payload_max = 1 << 20)
      : payload_max_(payload_max), acceptor_(loop_, {asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(loop_, accept(), asio::detached);
    thread_ = std::thread([this] { loop_.run(); });
  }
  FakeNats(const FakeNats&) = delete;
  ~FakeNats() {
    loop_.stop();
    thread_.join();
  }

  std::string yaml() const {
    return "backbone: [\"nats://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + "\"]\nbackbone_replicas: 1\n";
  }
  /// Answers for the next messages stored, in this order; those after them are stored.
  void answer_with(const std::vector<std::string>& answers) {
    std::lock_guard lock(mutex_);
    answers_.insert(answers_.end(), answers.begin(), answers.end());
  }
  /// For the next so many questions for the next message of a queue there is none; then there is this one.
  void give_next(std::string payload, int fruitless) {
    std::lock_guard lock(mutex_);
    next_ = std::move(payload);
    fruitless_ = fruitless;
  }
  static std::string error(int code, const std::string& what) {
    return "{\"error\":{\"code\":400,\"err_code\":" + std::to_string(code) + ",\"description\":\"" + what + "\"}}";
  }

  struct Seen {
    std::vector<std::string> stored;  ///< payloads
    std::size_t asked = 0;            ///< to store something
    std::size_t connects = 0, violations = 0;
  };
  Seen seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  using Tcp = asio::ip::tcp;

  asio::awaitable<void> accept() {
    for (;;) {
      auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
      asio::co_spawn(loop_, serve(std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> serve(Tcp::socket socket) {
    std::string in;
    std::map<std::string, std::string> subscriptions;  // subject → number
    co_await say(socket, "INFO {\"server_id\":\"FAKE\",\"version\":\"2.9.0\",\"proto\":1,\"headers\":true,\"max_payload\":" +
                             std::to_string(payload_max_) + "}\r\n");
    {
      std::lock_guard lock(mutex_);
      ++seen_.connects;
    }
    for (;;) {
      const auto end = co_await asio::async_read_until(socket, asio::dynamic_buffer(in), "\r\n", asio::use_awaitable);
      std::istringstream line(in.substr(0, end - 2));
      in.erase(0, end);
      std::vector<std::string> words;
      for (std::string word; line >> word;) words.push_back(word);
      if (words.empty()) continue;
      if (words[0] == "PING") co_await say(socket, "PONG\r\n");
      if (words[0] == "SUB") subscriptions[words[1]] = words.back();
      if (words[0] != "PUB" && words[0] != "HPUB") continue;
      const bool has_headers = words[0] == "HPUB";
      const auto bytes = std::stoul(words.back());
      if (bytes > payload_max_) {
        {
          std::lock_guard lock(mutex_);
          ++seen_.violations;
        }
        co_await say(socket, "-ERR 'Maximum Payload Violation'\r\n");
        co_return;
      }
      if (in.size() < bytes + 2) {
        const auto missing = bytes + 2 - in.size();
        co_await asio::async_read(socket, asio::dynamic_buffer(in), asio::transfer_exactly(missing), asio::use_awaitable);
      }
      const auto header_bytes = has_headers ? std::stoul(words[words.size() - 2]) : 0;
      const auto payload = in.substr(header_bytes, bytes - header_bytes);
      in.erase(0, bytes + 2);
      if (words.size() != (has_headers ? 5U : 4U)) continue;
      const auto answer = answer_to(words[1], payload);
      const auto& reply = words[2];
      const auto subscription = subscriptions.find(reply.substr(0, reply.rfind('.')) + ".*");
      if (subscription == subscriptions.end()) continue;
      const auto to = reply + " " + subscription->second + " ";
      if (const auto record = record_for(words[1])) {
        const auto& [head, body] = *record;
        co_await say(socket, "HMSG " + to + std::to_string(head.size()) + " " + std::to_string(head.size() + body.size()) + "\r\n" + head +
                                 body + "\r\n");
      } else if (!answer.empty()) {
        co_await say(socket, "MSG " + to + std::to_string(answer.size()) + "\r\n" + answer + "\r\n");
      }
    }
  }

  asio::awaitable<void> say(Tcp::socket& socket, std::string text) {
    co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
  }

  /// Headers and payload of the answer to a question for the next message, where give_next() was said.
  std::optional<std::pair<std::string, std::string>> record_for(const std::string& subject) {
    std::lock_guard lock(mutex_);
    if (!subject.starts_with("$JS.API.DIRECT.") || fruitless_ < 0) return {};
    const bool is_there = fruitless_ == 0 && !next_.empty();
    if (fruitless_ > 0) --fruitless_;
    if (!is_there) return std::pair<std::string, std::string>("NATS/1.0 404 Message Not Found\r\n\r\n", "");
    return std::pair<std::string, std::string>("NATS/1.0\r\nNats-Sequence: 1\r\n\r\n", std::exchange(next_, {}));
  }

  std::string answer_to(const std::string& subject, const std::string& payload) {
    std::lock_guard lock(mutex_);
    if (subject.starts_with("$JS.API.DIRECT.")) return {};
    if (subject.starts_with("$JS.API.STREAM.MSG.")) return error(10037, "no message found");
    if (subject.starts_with("$JS.API.")) return "{\"state\":{\"messages\":0,\"bytes\":0}}";
    ++seen_.asked;
    if (!answers_.empty()) {
      auto answer = std::move(answers_.front());
      answers_.pop_front();
      return answer;
    }
    seen_.stored.push_back(payload);
    return "{\"stream\":\"s\",\"seq\":" + std::to_string(seen_.stored.size()) + "}";
  }

  const std::size_t payload_max_;
  mutable std::mutex mutex_;
  std::deque<std::string> answers_;
  std::string next_;
  int fruitless_ = -1;
  Seen seen_;
  asio::io_context loop_{1};
  Tcp::acceptor acceptor_;
  std::thread thread_;
};

}  // namespace gorgone::mcollective::test
