#pragma once
// What the server needs of the daemon, scripted by the test: actions, a journal with watchers, one other node.

#include <support/loop_agent.hpp>

#include <map>

namespace gorgone::test {

class FakeJournal : public RecordingJournal {
 public:
  explicit FakeJournal(asio::io_context& loop) : loop_(loop) {}

  using RecordingJournal::read;
  void read(HistoryFilter filter, std::function<void(Result<Rows>)> done) override {
    Rows found;
    for (const auto& row : stored)
      if (row.token == filter.token.value_or(row.token) && row.code == filter.code.value_or(row.code)) found.push_back(row);
    ++reads;
    asio::post(loop_, [found, done] { done(found); });
  }
  std::shared_ptr<void> watch(std::string token, std::function<void(const HistoryRow&)> on_row) override {
    auto watcher = std::make_shared<std::function<void(const HistoryRow&)>>(std::move(on_row));
    watchers_.emplace(std::move(token), watcher);
    return watcher;
  }
  /// A row that is committed now.
  void commit(const std::string& token, int code, std::string data = "{}") {
    HistoryRow row;
    row.id = static_cast<std::int64_t>(stored.size()) + 1;
    row.token = token;
    row.code = code;
    row.data = std::move(data);
    stored.push_back(row);
    auto [from, to] = watchers_.equal_range(token);
    for (; from != to; ++from)
      if (auto watcher = from->second.lock()) (*watcher)(row);
  }

  Rows stored;
  int reads = 0;

 private:
  asio::io_context& loop_;
  std::multimap<std::string, std::weak_ptr<std::function<void(const HistoryRow&)>>> watchers_;
};

/// Another node's way: each fetch is answered by the test's function.
class FakeGateway : public Gateway {
 public:
  std::function<void(std::function<void(Result<void>)>)> on_fetch = [](auto done) { done(Result<void>{}); };
  int fetches = 0, under_way = 0, most_under_way = 0;

  void forward(Message, Reply) override {}
  json::object constatus() const override { return {}; }
  void fetch_log(const std::string&, std::function<void(Result<void>)> done) override {
    ++fetches;
    most_under_way = std::max(most_under_way, ++under_way);
    on_fetch([this, done](Result<void> result) {
      --under_way;
      done(std::move(result));
    });
  }
  bool knows(const std::string&) const override { return true; }
  bool has_feature(const std::string&, const std::string&) const override { return false; }
};

class FakeCore : public LoopAgent {
 public:
  FakeJournal memory{loop()};
  FakeGateway nodes;
  std::vector<Message> submitted;
  /// What becomes of a submitted message; the standard takes it.
  std::function<void(const Message&, Reply)> on_submit = [](const Message& message, Reply reply) {
    reply(Answer{"ACK", message.token, 0, Payload("{}")});
  };

  Journal& journal() override { return memory; }
  Gateway* gateway() const override { return const_cast<FakeGateway*>(&nodes); }
  void submit(Message message, Reply reply = {}) override {
    submitted.push_back(std::move(message));
    on_submit(submitted.back(), std::move(reply));
  }
  std::optional<Endpoint> endpoint(const std::string& method, const std::string& path) const override {
    if (method == "POST" && path == "/core/action/command") return Endpoint{"COMMAND", {}};
    if (method == "GET" && path == "/internal/constatus") return Endpoint{"CONSTATUS", {}};
    return {};
  }
  std::vector<std::string> methods(const std::string& path) const override {
    if (path == "/core/action/command") return {"POST"};
    if (path == "/internal/constatus") return {"GET"};
    return {};
  }

  /// Runs one coroutine to its end, whatever else goes on.
  template <class T>
  T finish(asio::awaitable<T> work) {
    std::optional<T> result;
    auto on_end = [&](std::exception_ptr error, T value) {
      if (error) std::rethrow_exception(error);
      result.emplace(std::move(value));
    };
    asio::co_spawn(loop(), std::move(work), on_end);
    if (!run_until([&] { return result.has_value(); })) throw std::runtime_error("the coroutine did not end");
    return std::move(*result);
  }
  /// Runs the loop until `is_true` or for at most 10 s; says which.
  bool run_until(const std::function<bool()>& is_true) {
    loop().restart();
    auto guard = asio::make_work_guard(loop());
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!is_true() && std::chrono::steady_clock::now() < until) loop().run_one_for(std::chrono::milliseconds(50));
    return is_true();
  }
  void after(std::chrono::milliseconds time, std::function<void()> work) {
    auto timer = std::make_shared<asio::steady_timer>(loop(), time);
    timer->async_wait([timer, work](boost::system::error_code error) {
      if (!error) work();
    });
  }
};

}  // namespace gorgone::test
