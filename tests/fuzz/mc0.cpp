// Messages of several clients to the broker for MCollective, with its clock, its queues and its backbone, held against plain models of who
// is between a question and its answer, of who subscribes to what, and of where each message went.

#include "modules/mcollective/tests/broker_world.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <deque>

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::mcollective;
using namespace std::chrono_literals;

namespace {

constexpr unsigned connections = 5;
const std::vector<std::string> names{"web1 1", "web1 2", "db 1", ""};
const std::vector<std::string> topics{"a", "b c", "q", "q 2", "forbidden", "", std::string(300, 'x')};
const std::vector<std::string> verbs{"CONNECT", "SUB", "UNSUB", "PUT", "NOOP", "DISCONNECT", "put", ""};

/// What a client may be sent now.
struct Line {
  std::deque<std::pair<std::string, std::string>> open_questions;  ///< ID and verb
  bool is_open = false, reads = true, is_paused = false, is_held = false;
  Time quiet_until{};
  std::uint64_t number = 0;
  std::vector<SharedFrames> queued;  ///< messages; answers go ahead of them
  std::vector<SharedFrames> answers;
};

class Run final : public Outlet {
 public:
  explicit Run(Input& input) : input_(input) {
    limits_.clients = 3;
    limits_.topics = 4;
    limits_.topic_bytes = 255;
    limits_.body_bytes = 200;
    limits_.queue_messages = 8 + input.below(8);
    limits_.queue_bytes = 256;
    limits_.idle = 100s;
    limits_.connect = 30s;
    limits_.grace = input.flag() ? 200ms : 0ms;
    kept_.persistent = {"q", "q 2"};
    Broker::Parts parts{*this,
                        access_,
                        kept_,
                        input.flag() ? &backbone_ : nullptr,
                        [this](const std::string& id) { changed_.insert(id); },
                        [this](const std::string& id, std::function<void(Time)> done) {
                          changed_.insert(id);
                          keep(std::move(done));
                        },
                        [] {}};
    broker_ = std::make_unique<Broker>(std::move(parts), limits_, log_);
  }

  void step() {
    for (const auto& done : std::exchange(being_kept_, {})) done(now_);
    const auto who = static_cast<ConnectionId>(1 + input_.below(connections));
    switch (input_.below(10)) {
      case 0:
        open(who);
        break;
      case 1:
        lose(who);
        break;
      case 2:
        say_anything(who);
        break;
      case 3:
        pass(milliseconds(input_.byte() * 400));
        break;
      case 4:
        answer_put();
        break;
      case 5:
        read(who);
        break;
      case 6:
        change_grants();
        break;
      case 7:
        come_from_elsewhere(who);
        break;
      default:
        say(who);
    }
    compare();
  }

  // Every other session is in the journal at once, as where its disk is known to hang.
  void keep(std::function<void(Time)> done) {
    if (!done) return;  // nobody waits for it
    if (++kept_sessions_ % 2 == 0) return done(now_);
    being_kept_.push_back(std::move(done));
  }

  // Outlet
  std::uint64_t send(ConnectionId to, SharedFrames frames) override {
    auto& line = lines_[id_of(to)];
    if (to != ids_[id_of(to)] || !line.is_open) return 0;
    check_form(*frames);
    require(frames->at(1) == "MESSAGE", "what is sent in its turn is a message", frames->at(1));
    ++line.number;
    line.queued.push_back(std::move(frames));
    leave(line);
    return line.number;
  }
  void answer(ConnectionId to, SharedFrames frames) override {
    auto& line = lines_[id_of(to)];
    if (to != ids_[id_of(to)] || !line.is_open) return;
    check_answer(line, *frames);
    if (!line.reads) line.answers.push_back(std::move(frames));
  }
  void hold(ConnectionId whom, bool is_held) override {
    auto& line = lines_[id_of(whom)];
    if (whom != ids_[id_of(whom)] || !line.is_open) return;
    line.is_held = is_held;
    leave(line);
  }
  Transport::Waiting untaken(ConnectionId of) const override { return waiting(of); }
  Transport::Waiting waiting(ConnectionId of) const override {
    Transport::Waiting waiting;
    const auto known = std::find(ids_.begin(), ids_.end(), of);
    if (known == ids_.end()) return waiting;
    const auto& line = lines_[static_cast<std::size_t>(known - ids_.begin())];
    waiting.messages = line.queued.size();
    waiting.answers = line.answers.size();
    waiting.sent = line.number - line.queued.size();
    for (const auto* queue : {&line.queued, &line.answers})
      for (const auto& frames : *queue) waiting.bytes += size_of(*frames);
    return waiting;
  }
  void confirm(ConnectionId) override {}
  void pause(ConnectionId of) override { set_paused(of, true); }
  void resume(ConnectionId of) override { set_paused(of, false); }
  void close(ConnectionId which, const std::string& why, Transport::Closing) override {
    require(is_one_clean_line(why), "the reason of a close is one line", why);
    closing_.push_back(which);
    auto& line = lines_[id_of(which)];
    if (which == ids_[id_of(which)]) line.is_open = false;
  }

 private:
  std::size_t id_of(ConnectionId connection) const { return (connection - 1) % connections; }

  void set_paused(ConnectionId of, bool is_paused) {
    auto& line = lines_[id_of(of)];
    if (of != ids_[id_of(of)]) return;
    require(!line.is_open || line.is_paused != is_paused, "a connection is held back once and let go once");
    line.is_paused = is_paused;
  }

  void open(ConnectionId slot) {
    auto& id = ids_[slot - 1];
    auto& line = lines_[slot - 1];
    if (line.is_open) return;
    id += connections;
    line = Line{};
    line.is_open = true;
    Peer peer;
    peer.routing_id = names[input_.below(static_cast<unsigned>(names.size()))];
    peer.named_itself = !peer.routing_id.empty();
    if (!peer.named_itself) peer.routing_id = "drawn " + std::to_string(id);
    peer.key = input_.below(8) == 0 ? "other" : "key";
    peer.address = "192.0.2.1:1";
    if (!broker_->admit(peer)) {
      line.is_open = false;
      return;
    }
    // It may be a new socket under an old name, which begins with CONNECT.
    line.quiet_until = now_ + limits_.grace;
    broker_->opened(id, peer, now_);
  }

  void lose(ConnectionId slot) {
    auto& line = lines_[slot - 1];
    if (!line.is_open) return;
    const auto left = untaken(ids_[slot - 1]);
    line.is_open = false;
    broker_->closed(ids_[slot - 1], Error{"reset"}, left, now_);
  }

  void say_anything(ConnectionId slot) {
    Frames frames;
    const auto count = input_.below(7);
    for (unsigned i = 0; i < count; ++i) frames.emplace_back(input_.below(3) == 0 ? "" : input_.text());
    const auto parsed = parse_command(frames);
    check_parsed(frames, parsed);
    give(slot, std::move(frames), parsed);
  }

  void say(ConnectionId slot) {
    Frames frames{"", verbs[input_.below(static_cast<unsigned>(verbs.size()))]};
    const auto which = input_.byte();
    const auto topic = [this] { return topics[input_.below(static_cast<unsigned>(topics.size()))]; };
    if (which % 2 != 0) frames.insert(frames.end(), {"ID", std::to_string(++questions_)});
    if (frames[1] == "CONNECT" && (which & 2U) != 0) frames.insert(frames.end(), {"TTL", std::to_string(input_.byte() * 1000)});
    if (frames[1] == "PUT" && (which & 4U) == 0) frames.insert(frames.end(), {"TOPIC", topic()});
    if ((which & 8U) == 0) frames.emplace_back();
    if (frames.back().empty()) {
      for (auto left = input_.below(4); left > 0; --left) frames.push_back(frames[1] == "PUT" ? std::string(input_.byte(), 'b') : topic());
    }
    auto parsed = parse_command(frames);
    give(slot, std::move(frames), parsed);
  }

  static void check_parsed(const Frames& frames, const Parsed& parsed) {
    if (parsed.fault) return require(is_one_clean_line(*parsed.fault), "a fault is told in one line", *parsed.fault);
    Frames again{"", parsed.command.verb};
    for (const auto& [key, value] : parsed.command.headers) again.insert(again.end(), {key, value});
    if (again.size() < frames.size()) again.emplace_back();
    again.insert(again.end(), parsed.command.body.begin(), parsed.command.body.end());
    require(again == frames, "a command is all of its frames and nothing else");
  }

  void give(ConnectionId slot, Frames frames, const Parsed& parsed) {
    auto& line = lines_[slot - 1];
    if (!line.is_open || line.is_paused) return;
    const auto* const id = parsed.command.header("ID");
    const auto* const client = broker_->clients().at(ids_[slot - 1]);
    require(client != nullptr, "each open connection has its client");
    if (id) line.open_questions.emplace_back(*id, parsed.fault ? "" : parsed.command.verb);
    const auto& counters = broker_->counters();
    const auto before = counters.delivered + counters.queue_full;
    std::size_t subscribers = 0;
    const bool is_put = !parsed.fault && parsed.command.verb == "PUT" && client->has_session;
    const auto* const topic = parsed.command.header("TOPIC");
    if (is_put && topic && topic->size() <= limits_.topic_bytes && client->grant.may_publish(*topic) &&
        size_of(parsed.command.body) <= limits_.body_bytes) {
      line.quiet_until = {};
      subscribers = kept_.persistent.contains(*topic) ? 0 : subscribers_of(*topic);
    }
    // Who leaves subscribes no more, and gets what waited for it.
    if (!parsed.fault && parsed.command.verb == "DISCONNECT" && client->has_session) line.quiet_until = {};
    broker_->message(ids_[slot - 1], std::move(frames), now_);
    require(counters.delivered + counters.queue_full == before + subscribers, "a message is delivered or counted for each subscriber");
    if (!line.is_open) return settle_closed();
    if (kept_.puts.empty() && being_kept_.empty())
      require(line.open_questions.empty(), "each question is answered at once where it can be");
    settle_closed();
  }

  std::size_t subscribers_of(const std::string& topic) const {
    std::size_t count = 0;
    for (const auto& client : broker_->clients().all())
      for (const auto& subscription : client->subscriptions) count += subscription.topic->name == topic ? 1 : 0;
    return count;
  }

  static Parsed check_form(const Frames& frames) {
    require(frames.size() >= 2 && frames[0].empty(), "what is sent begins with a delimiter");
    auto parsed = parse_command(frames);
    require(!parsed.fault.has_value(), "what is sent has the form of a command", parsed.fault.value_or(""));
    return parsed;
  }

  // A client that reads is given what waits for it, a message only where it may come now.
  void leave(Line& line) {
    if (!line.reads) return;
    line.answers.clear();
    if (line.is_held || line.queued.empty()) return;
    require(line.open_questions.empty(), "no message comes between a command with an ID and its answer");
    require(line.quiet_until <= now_, "no message comes while a client is subscribing");
    line.queued.clear();
  }

  void check_answer(Line& line, const Frames& frames) {
    const auto parsed = check_form(frames);
    const auto& verb = frames[1];
    const auto* const id = parsed.command.header("ID");
    if ((verb == "OK" || verb == "ERROR") && id) {
      require(!line.open_questions.empty() && line.open_questions.front().first == *id,
              "answers come in the order of the questions, each once");
      const auto asked = line.open_questions.front().second;
      line.open_questions.pop_front();
      if (verb == "OK" && (asked == "CONNECT" || asked == "SUB" || asked == "UNSUB")) line.quiet_until = now_ + limits_.grace;
      return;
    }
    require(verb != "OK", "OK is the answer to a command with an ID");
    require(line.open_questions.empty(), "nothing comes between a command with an ID and its answer", verb);
    if (verb == "ERROR") return;
    require(verb == "NOOP", "a broker answers OK, ERROR and NOOP", verb);
    require(line.quiet_until <= now_, "nothing but answers comes while a client is subscribing", verb);
  }

  void pass(milliseconds time) {
    const auto until = now_ + time;
    for (auto next = broker_->next(); next && *next <= until; next = broker_->next()) {
      now_ = std::max(now_, *next);
      broker_->tick(now_);
      require(!broker_->next() || *broker_->next() > now_, "what was due has been done");
      settle_closed();
    }
    now_ = until;
  }

  void answer_put() {
    if (kept_.puts.empty()) return;
    auto done = std::move(kept_.puts.front().second);
    kept_.puts.erase(kept_.puts.begin());
    done(input_.flag() ? Result<void>{} : Result<void>(Error{"the queue is full"}));
  }

  void read(ConnectionId slot) {
    auto& line = lines_[slot - 1];
    line.reads = !line.reads;
    if (!line.reads) return;
    if (!line.is_open) return;
    leave(line);
    broker_->room(ids_[slot - 1], now_);
    broker_->taken(ids_[slot - 1], line.number - line.queued.size(), now_);
  }

  void change_grants() {
    access_.patterns = input_.flag() ? std::vector<std::string>{"**"} : std::vector<std::string>{"a", "q", "q 2"};
    access_.refused_keys.clear();
    if (input_.below(4) == 0) access_.refused_keys.insert("other");
    broker_->grants_changed(now_);
    settle_closed();
    for (const auto& client : broker_->clients().all())
      for (const auto& subscription : client->subscriptions)
        require(client->grant.may_subscribe(subscription.topic->name), "nobody has a subscription that is not allowed");
  }

  void come_from_elsewhere(ConnectionId slot) {
    const auto frames = std::make_shared<const Frames>(Frames{"", "MESSAGE", "TOPIC", "q", "", "x"});
    KeptMessage message;
    message.number = slot;
    message.frames = frames;
    if (input_.flag())
      broker_->offered("q", message, now_);
    else
      broker_->from_backbone("q", frames, now_);
  }

  // The transport tells of each close once, later.
  void settle_closed() {
    for (const auto connection : std::exchange(closing_, {})) broker_->closed(connection, Error{"closed"}, {}, now_);
  }

  void compare() {
    settle_closed();
    std::size_t sessions = 0, subscriptions = 0, open = 0;
    std::set<std::string_view> wanted;
    for (const auto& client : broker_->clients().all()) {
      sessions += client->has_session ? 1 : 0;
      subscriptions += client->subscriptions.size();
      require(client->subscriptions.size() <= limits_.topics, "nobody has more topics than allowed");
      std::size_t bytes = 0, bounded = 0;
      if (client->backlog)
        for (const auto* parcels : {&client->backlog->parcels, &client->backlog->unasked})
          for (const auto& parcel : *parcels) {
            bytes += parcel.bytes;
            bounded += parcel.kept ? 0 : 1;
          }
      require(bounded <= limits_.queue_messages, "what waits is bounded");
      require(!client->backlog || client->backlog->bytes == bytes, "the bytes that wait are counted right");
      for (std::uint32_t i = 0; i < client->subscriptions.size(); ++i) {
        const auto& [topic, place, is_stale] = client->subscriptions[i];
        require(!is_stale || client->is_renewing, "a subscription is stale only while its client is renewing");
        wanted.insert(topic->name);
        require(topic->subscribers[place].client == client.get() && topic->subscribers[place].place == i,
                "both sides of a subscription agree");
        require(topic->owner == nullptr || topic->owner->connection != 0, "the owner of a queue is connected");
      }
      open += client->connection != 0 ? 1 : 0;
      require(client->look_at != Time{}, "each client has a time at which it is looked at");
    }
    require(sessions == broker_->clients().sessions() && sessions <= limits_.clients, "sessions are counted right and bounded");
    require(subscriptions == broker_->topics().subscriptions() && wanted.size() == broker_->topics().size(),
            "topics are those of the clients");
    require(open == broker_->clients().connections(), "connections are those of the clients");
    std::size_t lines = 0;
    for (const auto& line : lines_) lines += line.is_open ? 1 : 0;
    require(open == lines, "the broker knows the connections that are open");
    if (!backbone_.wanted.empty())
      require(backbone_.wanted.size() == wanted.size(), "the backbone is asked for the topics that have subscribers");
  }

  Input& input_;
  BrokerLimits limits_;
  test::FakeAccess access_;
  test::FakeKept kept_;
  test::FakeBackbone backbone_;
  std::set<std::string> changed_;
  std::vector<std::function<void(Time)>> being_kept_;
  std::size_t kept_sessions_ = 0;
  std::vector<ConnectionId> ids_{1, 2, 3, 4, 5};
  std::vector<Line> lines_ = std::vector<Line>(connections);
  std::vector<ConnectionId> closing_;
  Time now_ = Time{} + 1000s;
  std::size_t questions_ = 0;
  Log log_{"fuzz"};
  std::unique_ptr<Broker> broker_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Run run(input);
  while (!input.at_end()) run.step();
  return 0;
}
