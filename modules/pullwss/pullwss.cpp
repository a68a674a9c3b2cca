// pullwss: a node that dials its central by a WebSocket and takes its requests from there (docs/protocol.md, "WebSockets").

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <gorgone/module.hpp>
#include <gorgone/wss_text.hpp>
#include <random>

#include "dial.hpp"
#include "pace.hpp"
#include "portions.hpp"
#include "upward.hpp"

namespace gorgone::pullwss {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto same_problem_logged_every = 60s;
constexpr auto stop_limit = 2s;
constexpr auto stop_step = 10ms;
// A deployed central that is told of more rows asks all of its nodes.
constexpr auto more_rows_told_after = 1s;

class PullWss final : public Module {
 public:
  PullWss(Agent& agent, const Settings& settings)
      : agent_(agent),
        options_(read_options(settings)),
        secret_(agent.secret_for(wss::secret_purpose)),
        pace_(std::random_device{}()),
        pause_(agent.loop()),
        keepalive_(agent.loop()),
        more_(std::make_shared<asio::steady_timer>(agent.loop())) {}

  asio::awaitable<Result<void>> start() override {
    if (agent_.node_id().empty()) co_return Error{"gorgonecore.id: is missing, expected the node's id or uid in Centreon (no default)"};
    if (options_.is_tls) {
      auto tls = make_tls_client(options_.verify, options_.ca_file);
      if (!tls) co_return Error{"modules.pullwss." + tls.error().message};
      tls_ = std::move(*tls);
    }
    agent_.spawn(run());
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message) override { co_return; }

  asio::awaitable<void> stop() override {
    stopping_ = true;
    pause_.cancel();
    keepalive_.cancel();
    more_->cancel();
    more_.reset();
    parent_.reset();
    if (socket_) socket_->end({}, 1001, "the node is stopping");
    // The answers that the core still owes are made by code of this module.
    const auto limit = Clock::now() + stop_limit;
    asio::steady_timer pause(agent_.loop());
    while (owed_.use_count() > 1 && Clock::now() < limit) {
      pause.expires_after(stop_step);
      boost::system::error_code ignored;
      auto token = asio::redirect_error(asio::use_awaitable, ignored);
      co_await pause.async_wait(token);
    }
  }

 private:
  asio::awaitable<void> run() {
    co_await asio::this_coro::throw_if_cancelled(false);
    agent_.log().info("node '{}' connects to {}{}, with the secret of thumbprint {}", agent_.node_id(), options_.url(),
                      options_.proxy ? " through a proxy" : "", wss::thumbprint_of_secret(secret_));
    while (!stopping_) {
      const auto begun = Clock::now();
      auto socket = co_await dial(agent_.loop(), options_, tls_, secret_);
      if (stopping_) co_return;
      std::string why;
      if (socket)
        why = co_await serve(*socket);
      else
        why = socket.error().message;
      const auto state = co_await asio::this_coro::cancellation_state;
      if (stopping_ || state.cancelled() != asio::cancellation_type::none) co_return;
      const auto next = begun + pace_.next();
      report(why, next - Clock::now());
      pause_.expires_at(next);
      boost::system::error_code ignored;
      auto token = asio::redirect_error(asio::use_awaitable, ignored);
      co_await pause_.async_wait(token);
    }
  }

  /// Runs a connection to its end and says why it ended.
  asio::awaitable<std::string> serve(std::shared_ptr<WebSocket> socket) {
    socket_ = socket;
    is_taken_ = false;
    refusal_.clear();
    register_node();
    const std::weak_ptr<WebSocket> weak = socket;
    parent_ = agent_.add_parent([weak](const Message& message) {
      if (const auto open = weak.lock()) open->send(wss::encode_entities(wss::write_request(message)));
    });
    std::string why;
    while (why.empty()) {
      auto text = co_await socket->read();
      if (text)
        take(*text);
      else
        why = text.error().message;
    }
    parent_.reset();
    keepalive_.cancel();
    socket_.reset();
    if (!refusal_.empty()) co_return "the central refuses the node: " + refusal_;
    co_return why;
  }

  void register_node() {
    if (!socket_) return;
    const auto& id = agent_.node_id();
    json::object node{{"id", id}, {"type", "wss"}, {"identity", id}};
    json::array nodes;
    nodes.push_back(std::move(node));
    Message message{"REGISTERNODES", {}, {}, Payload(json::value(json::object{{"nodes", std::move(nodes)}})), {}};
    socket_->send(wss::encode_entities(wss::write_request(message)));
    keepalive_.expires_after(options_.ping);
    keepalive_.async_wait([this, owed = owed_](const boost::system::error_code& error) {
      if (!error) register_node();
    });
  }

  void take(const std::string& text) {
    if (auto refusal = wss::read_refusal(text)) {
      refusal_ = printable(*refusal);
      return;
    }
    auto message = wss::read_message(text);
    if (!message) return agent_.log().warning("the central sent what is no message: {}", printable(text));
    taken();
    // Deployed nodes and ours tell the central nothing that needs one.
    if (message->action == "ACK") return;
    agent_.log().debug("from the central: {} token={}", printable(message->action), printable(message->token));
    message->origin = Origin{Origin::Kind::parent, options_.url()};
    const std::weak_ptr<WebSocket> weak = socket_;
    const bool is_portioned = message->action == "GETLOG" && ask_for_a_portion(*message);
    auto tell_more = more_teller(weak);
    auto reply = [weak, action = message->action, is_portioned, bytes_max = options_.max_told_size, tell_more = std::move(tell_more),
                  owed = owed_](Answer answer) {
      const auto said = upward(action, std::move(answer));
      const auto open = weak.lock();
      if (!said || !open) return;
      if (!is_portioned) return void(open->send(wss::encode_entities(wss::write_answer(*said))));
      auto log = fit(*said, bytes_max);
      open->send(std::move(log.text));
      if (log.leaves_some) tell_more();
    };
    agent_.submit(std::move(*message), std::move(reply));
  }

  /// Tells the central in a moment that there are rows to fetch; once for many calls.
  std::function<void()> more_teller(std::weak_ptr<WebSocket> weak) {
    return [weak = std::move(weak), timer = std::weak_ptr(more_), id = agent_.node_id(), owed = owed_] {
      const auto more = timer.lock();
      if (!more) return;
      more->expires_after(more_rows_told_after);
      more->async_wait([weak, id, owed](const boost::system::error_code& error) {
        const auto open = weak.lock();
        if (error || !open) return;
        json::object synclogs{{"data", json::object{{"id", id}}}};
        const Message message{"SYNCLOGS", {}, {}, Payload(json::value(std::move(synclogs))), {}};
        open->send(wss::encode_entities(wss::write_request(message)));
      });
    };
  }

  void taken() {
    if (is_taken_) return;
    is_taken_ = true;
    pace_.reset();
    problem_.clear();
    agent_.log().info("link up: {} takes node '{}'", options_.url(), agent_.node_id());
  }

  void report(const std::string& why, Clock::duration wait) {
    const auto wait_ms = std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(wait).count());
    const auto now = Clock::now();
    if (is_taken_) {
      is_taken_ = false;
      agent_.log().warning("link down: {}: {} retry_ms={}", options_.url(), why, wait_ms);
    } else if (why != problem_ || now - reported_ > same_problem_logged_every) {
      agent_.log().error("no link to {}: {} retry_ms={}", options_.url(), why, wait_ms);
      problem_ = why;
      reported_ = now;
    } else {
      agent_.log().debug("no link to {}: {} retry_ms={}", options_.url(), why, wait_ms);
    }
  }

  Agent& agent_;
  const Options options_;
  const std::string secret_;
  TlsContext tls_;
  Pace pace_;
  asio::steady_timer pause_, keepalive_;
  std::shared_ptr<asio::steady_timer> more_;
  std::shared_ptr<WebSocket> socket_;
  std::shared_ptr<void> parent_;
  std::shared_ptr<int> owed_ = std::make_shared<int>();  // held by all that the core will still call
  bool stopping_ = false, is_taken_ = false;             // taken: the central has said something that is no refusal
  std::string refusal_, problem_;
  Clock::time_point reported_{};
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "pullwss";
  info.help =
      "Connects a node to its central by a WebSocket, for nodes that can be reached by no connection from outside: plain or TLS, through "
      "an "
      "HTTP proxy, behind a web server's path. Takes the central's requests and tells it what comes of them; connects anew by itself.";
  info.schema = schema();
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<PullWss>(agent, settings); };
  info.check = check_options;
  return info;
}

}  // namespace
}  // namespace gorgone::pullwss

GORGONE_MODULE(gorgone::pullwss::info)
