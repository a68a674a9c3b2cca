#include "parent.hpp"

#include <boost/asio/redirect_error.hpp>

#include <charconv>
#include <chrono>

#include "reply.hpp"

namespace gorgone::pull {
namespace {

constexpr auto farewell_limit = std::chrono::milliseconds(250);

std::int64_t now_s() {
  using namespace std::chrono;
  return duration_cast<seconds>(steady_clock::now().time_since_epoch()).count();
}

// A number where it is one, as deployed nodes send it.
json::value id_of(const std::string& id) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  if (error == std::errc{} && std::to_string(number) == id) return number;
  return json::value(id);
}

}  // namespace

Parent::Parent(Agent& agent, DialSpec spec, Keepalive::Limits limits)
    : agent_(agent), spec_(std::move(spec)), keepalive_(limits), timer_(agent.loop()), farewell_(agent.loop()) {}

Parent::~Parent() = default;

Result<void> Parent::start() {
  auto link = agent_.dial(spec_, *this);
  if (!link) return link.error();
  link_ = std::move(*link);
  told_ = agent_.add_parent([this](const Message& message) {
    const auto sent = link_ ? link_->send(message) : Result<void>(Error{"it is gone"});
    if (!sent) agent_.log().debug("{} not told to {}: {}", message.action, spec_.endpoint, sent.error().message);
  });
  return {};
}

asio::awaitable<void> Parent::stop() {
  leaving_ = true;
  told_.reset();
  timer_.cancel();
  if (link_ && link_->is_up()) {
    farewell_token_ = new_token();
    if (tell("UNREGISTERNODES", farewell_token_, {{"id", id_of(agent_.node_id())}})) {
      farewell_.expires_after(farewell_limit);
      boost::system::error_code ignored;
      auto token = asio::redirect_error(asio::use_awaitable, ignored);
      co_await farewell_.async_wait(token);
    }
  }
  link_.reset();
}

Result<void> Parent::tell(const std::string& action, const std::string& token, json::object node) {
  json::array nodes;
  nodes.push_back(std::move(node));
  return link_->send(Message{action, token, {}, Payload(json::value(json::object{{"nodes", std::move(nodes)}})), {}});
}

void Parent::link_up() {
  last_refusal_.clear();
  ++connections_;
  keepalive_.link_up(now_s());
  on_clock();
}

void Parent::link_down(const Error&) {
  keepalive_.link_down();
  farewell_.cancel();
  arm();
}

void Parent::link_received(Message message) {
  keepalive_.heard();
  arm();
  if (message.action == "ACK") return on_ack(message);
  if (message.action == "PONG" || leaving_) return;
  message.origin = Origin{Origin::Kind::parent, spec_.endpoint};
  auto reply = [this, action = message.action, alive = std::weak_ptr<bool>(alive_)](const Answer& answer) {
    if (alive.expired() || !link_) return;
    const auto sent = reply_to(action, answer);
    // A parent that went away meanwhile asks again.
    if (sent) (void)link_->send(*sent);
  };
  agent_.submit(std::move(message), std::move(reply));
}

void Parent::on_ack(const Message& message) {
  if (!farewell_token_.empty() && message.token == farewell_token_) farewell_.cancel();
  const auto parsed = message.data.json();
  if (!parsed || integer_of(member(**parsed, "code")).value_or(0) != code::failed) return;
  const auto* data = member(**parsed, "data");
  const auto* text = data ? member(*data, "message") : nullptr;
  const auto why = printable(text_of(text).value_or(data ? to_text(*data) : ""), 300);
  if (why == last_refusal_) return;  // told once, not at each registration
  last_refusal_ = why;
  agent_.log().warning("{} refused what this node told it: {}", spec_.endpoint, why);
}

void Parent::on_clock() {
  const auto due = keepalive_.on_clock(now_s(), flow_of(link_.get()));
  if (due.reset) link_->reset("no answer to a ping within modules.pull.ping_timeout");
  if (due.registration)
    (void)tell("REGISTERNODES", new_token(),
               {{"id", id_of(agent_.node_id())}, {"type", "pull"}, {"identity", link_->identity()}, {"connection", connections_}});
  if (due.ping) (void)link_->send(Message{"PING", new_token(), {}, Payload(), {}});
  arm();
}

void Parent::arm() {
  const auto deadline = leaving_ ? std::nullopt : keepalive_.deadline();
  if (!deadline) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::seconds(*deadline)));
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) on_clock();
  });
}

}  // namespace gorgone::pull
