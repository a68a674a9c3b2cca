#include "tests/bench/fleet/dialing_nodes.hpp"

#include <fmt/format.h>
#include <gorgone/json.hpp>

#include <boost/asio/post.hpp>

#include <chrono>
#include <deque>

namespace bench::fleet {

using namespace gorgone;

namespace {

constexpr std::size_t first_id = 2;

std::int64_t now_s() {
  using namespace std::chrono;
  return duration_cast<seconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace

// The same steps as modules/pull/parent.cpp, and answers in place of a router.
class DialingNodes::Node final : public LinkOwner {
 public:
  Node(DialingNodes& fleet, std::size_t id) : fleet_(fleet), id_(std::to_string(id)), timer_(fleet.loop_) {}

  void dial() {
    net::Dialer::Services services{fleet_.loop_, fleet_.keys_, fleet_.journal_, {}, std::int64_t{64} << 20, false};
    services.pool = [&pool = fleet_.pool_](std::function<void()> work) { boost::asio::post(pool, std::move(work)); };
    link_ = net::Dialer::make(std::move(services), {fleet_.endpoint_, "gorgone-" + id_, {}, {}, {}}, *this).value();
  }

  void hang_up() {
    if (std::exchange(is_up_, false)) --fleet_.counts_.up;
    link_.reset();
    forget();
  }

  void unsee() { is_seen_ = false; }

  void link_up() override {
    ++fleet_.counts_.up;
    ++fleet_.counts_.ups;
    ++connections_;
    is_up_ = true;
    keepalive_.link_up(now_s());
    on_clock();
  }

  void link_down(const Error& why) override {
    if (std::exchange(is_up_, false)) --fleet_.counts_.up;
    ++fleet_.counts_.downs;
    if (why.code == down::handshake) ++fleet_.counts_.refused;
    forget();
  }

  void link_received(Message message) override {
    keepalive_.heard();
    if (message.action == "PING") {
      say("PONG", message.token,
          fmt::format(R"({{"code":0,"data":{{"action":"ping","message":"ping ok","id":"{0}","hostname":"simulated","data":{{}},)"
                      R"("features":["delivery","log_wait","content"],"instance":"simulated-{0}","journal":"simulated-{0}"}}}})",
                      id_));
      ++fleet_.counts_.pings;
      if (!std::exchange(is_seen_, true)) ++fleet_.counts_.seen;
    } else if (message.action == "GETLOG") {
      ++fleet_.counts_.fetches;
      const auto filter = message.data.json();
      const auto wait = filter ? integer_of(member(**filter, "wait")).value_or(0) : 0;
      if (wait > 0)
        held_.emplace_back(now_s() + wait, message.token);
      else
        say_no_rows(message.token);
    }
    arm();
  }

 private:
  void say(const char* action, const std::string& token, std::string data) {
    (void)link_->send(Message{action, token, {}, Payload(std::move(data)), {}});
  }

  void say_no_rows(const std::string& token) {
    say("SETLOGS", token, fmt::format(R"({{"code":0,"data":{{"action":"getlog","result":[],"id":"{}"}}}})", id_));
  }

  void forget() {
    keepalive_.link_down();
    held_.clear();
    timer_.cancel();
  }

  void on_clock() {
    const auto now = now_s();
    for (; !held_.empty() && now >= held_.front().first; held_.pop_front()) say_no_rows(held_.front().second);
    const auto due = keepalive_.on_clock(now);
    if (due.reset) link_->reset("no answer to a ping");
    if (due.registration)
      say("REGISTERNODES", new_token(),
          fmt::format(R"({{"nodes":[{{"id":{},"type":"pull","identity":"{}","connection":{}}}]}})", id_, link_->identity(), connections_));
    if (due.ping) say("PING", new_token(), "{}");
    arm();
  }

  void arm() {
    auto next = keepalive_.deadline();
    if (next && !held_.empty()) next = std::min(*next, held_.front().first);
    if (!next) return;
    timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::seconds(*next)));
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) on_clock();
    });
  }

  DialingNodes& fleet_;
  std::string id_;
  pull::Keepalive keepalive_{{}};
  boost::asio::steady_timer timer_;
  std::deque<std::pair<std::int64_t, std::string>> held_;  // questions: until when, and their tokens
  std::int64_t connections_ = 0;
  bool is_up_ = false, is_seen_ = false;
  std::unique_ptr<Link> link_;
};

DialingNodes::DialingNodes(boost::asio::io_context& loop, wire::RsaPrivateKey own, std::string endpoint, std::size_t count)
    : loop_(loop), journal_(loop, ":memory:"), endpoint_(std::move(endpoint)) {
  const auto pub = own.public_key();
  keys_ = std::make_shared<const net::KeyRing>(net::KeyRing{std::move(own), pub, {}, net::FingerprintMode::always});
  boost::asio::use_service<net::Turnstile>(loop).set_places(count + 1);
  for (std::size_t id = first_id; id < first_id + count; ++id) nodes_.push_back(std::make_unique<Node>(*this, id));
}

DialingNodes::~DialingNodes() { pool_.join(); }

void DialingNodes::start() {
  for (const auto& node : nodes_) node->dial();
}

void DialingNodes::restart() {
  for (const auto& node : nodes_) node->hang_up();
  start();
}

void DialingNodes::reset() {
  counts_ = {counts_.up};
  for (const auto& node : nodes_) node->unsee();
}

}  // namespace bench::fleet
