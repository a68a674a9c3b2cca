// content: keeps trees and files of this node and of others the same. Sends (push) and receives (landing); docs/content-sync.md.

#include <gorgone/module.hpp>

#include <fmt/format.h>

#include <map>

#include "keeper.hpp"
#include "landing.hpp"
#include "push.hpp"

namespace {

using namespace gorgone;
using namespace gorgone::content;

class ContentModule final : public Module {
 public:
  ContentModule(Agent& agent, const Settings& settings)
      : agent_(agent), ground_{read_options(settings, agent.gorgone_config()), {}, {}, {}}, keeper_(agent, ground_) {}

  asio::awaitable<Result<void>> start() override {
    agent_.spawn(keeper_.run());
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    if (message.action == content::action::push) return start_push(std::move(message));
    if (message.action == content::action::rollback) return start_rollback(std::move(message));
    if (message.action == content::action::status) return tell_status(std::move(message));
    return land(std::move(message));
  }

 private:
  // Pushes to one destination run one after the other, in the order they came.
  using Key = std::pair<std::string, std::string>;

  void refuse(const std::string& token, const std::string& why) {
    agent_.log().error("{} token={}", why, printable(token));
    agent_.journal().write(outcome_row(token, code::failed, {{"action", "content"}, {"message", "content - " + why}}));
  }

  asio::awaitable<void> start_push(Message message) {
    const auto data = message.data.json();
    const auto* content = data ? member(**data, "content") : nullptr;
    if (!content) {
      refuse(message.token, "CONTENTPUSH: expected {\"content\": {\"source\": …, \"destination\": …}}");
      co_return;
    }
    const auto node = text_of(member(*content, "node"));
    if (!node || *node == agent_.node_id()) {
      refuse(message.token, "CONTENTPUSH: node: expected another node's id, as in POST /api/nodes/ID/core/content/push");
      co_return;
    }
    // A proxy that keeps copies in the outbox gives it back when it is this one's turn.
    const bool is_kept = message.origin.kind == Origin::Kind::internal;
    if (!is_kept && agent_.endpoint("POST", "/core/proxy/remotecopy")) {
      message.target = *node;
      agent_.submit(std::move(message));
      co_return;
    }
    auto wish = read_push(*content);
    if (!wish) {
      refuse(message.token, "CONTENTPUSH: " + wish.error().message);
      co_return;
    }
    Key key(*node, wish->destination);
    try {
      co_await push_in_turn(std::move(key), message.token, std::move(*wish));
    } catch (const boost::system::system_error& failure) {
      if (failure.code() != asio::error::operation_aborted || !is_kept) throw;
      // It is still in the outbox: no row ends it.
      agent_.journal().write(interrupted_row(message.token));
    }
  }

  asio::awaitable<void> push_in_turn(Key key, std::string token, PushRequest wish) {
    const auto turn = std::make_shared<Event>(agent_.loop());
    pushes_[key].push_back(turn);
    // Whichever way this coroutine ends.
    auto leave_line = [this, key](const Event* ended) { leave(key, ended); };
    const std::unique_ptr<const Event, decltype(leave_line)> slot(turn.get(), leave_line);
    while (pushes_[key].front() != turn) co_await turn->wait_until(Clock::time_point::max());
    const auto push = std::make_shared<Push>(agent_, ground_.options, memory_, std::move(token), key.first, std::move(wish));
    co_await push->run();
  }

  void leave(const Key& key, const Event* ended) {
    auto& line = pushes_[key];
    std::erase_if(line, [ended](const auto& turn) { return turn.get() == ended; });
    if (line.empty())
      pushes_.erase(key);
    else
      line.front()->ring();
  }

  asio::awaitable<void> start_rollback(Message message) {
    const auto data = message.data.json();
    const auto* content = data ? member(**data, "content") : nullptr;
    const auto destination = content ? text_of(member(*content, "destination")).value_or("") : "";
    if (const auto wrong = wrong_with_place(destination); !wrong.empty()) {
      refuse(message.token, "CONTENTROLLBACK: destination: " + wrong);
      co_return;
    }
    co_await agent_.begin(message);
    co_await roll_back(agent_, ground_, message.token, destination);
  }

  asio::awaitable<void> tell_status(Message message) {
    json::array working;
    for (const auto& path : ground_.destinations.paths()) working.emplace_back(to_utf8(path));
    auto list = [state_dir = ground_.options.state_dir] {
      json::array kept;
      for (const auto& path : Places(state_dir).list()) {
        const auto at = locate(path);
        const auto staging = at ? Staging::open(*at, false) : Result<Staging>(at.error());
        if (!staging) continue;
        kept.push_back(json::object{{"destination", to_utf8(path)},
                                    {"staging", to_utf8(staging->shown())},
                                    {"previous", staging->has("previous")},
                                    {"in_one_step", staging->not_in_one_step().empty()}});
      }
      return kept;
    };
    auto kept = co_await agent_.blocking(list);
    json::object data{{"action", "content"}, {"message", "ok"}, {"working", std::move(working)}, {"destinations", std::move(kept)}};
    agent_.journal().write(outcome_row(message.token, code::finished, std::move(data)));
  }

  // Messages of other daemons' pushes.
  asio::awaitable<void> land(Message message) {
    const auto token = token_of(message);
    if (token.empty() || ground_.ended.has(token)) co_return;
    auto known = landings_.find(token);
    if (known != landings_.end() && !known->second->has_ended()) {
      known->second->take(std::move(message));
      co_return;
    }
    if (message.action != content::action::offer || landings_.size() >= landings_max) co_return;
    const auto landing = std::make_shared<Landing>(agent_, ground_, token);
    landings_.insert_or_assign(token, landing);
    landing->take(std::move(message));
    co_await landing->run();
    known = landings_.find(token);
    if (known != landings_.end() && known->second == landing) landings_.erase(known);
  }

  // Pieces are large and are parsed on the pool: their token stands first.
  static std::string token_of(const Message& message) {
    constexpr std::string_view begin = R"({"token":")";
    const std::string_view text = message.data.head();
    if (!text.starts_with(begin)) return {};
    const auto end = text.find('"', begin.size());
    return end == std::string_view::npos ? std::string() : std::string(text.substr(begin.size(), end - begin.size()));
  }

  static constexpr std::size_t landings_max = 100;

  Agent& agent_;
  Ground ground_;
  Keeper keeper_;
  SenderMemory memory_;
  std::map<Key, std::deque<std::shared_ptr<Event>>> pushes_;  // whose turn it is, and who waits
  std::map<std::string, std::shared_ptr<Landing>> landings_;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "content";
  info.help =
      "Content sync between daemons of this kind: sends of a tree or a file only what a node lacks, and puts it in place as one step. "
      "Loaded without an entry too; one is needed to change its options, or to keep it out (`enable: false`).";
  info.schema = schema();
  info.actions = {{content::action::push, "POST", "/core/content/push"},
                  {content::action::rollback, "POST", "/core/content/rollback"},
                  {content::action::status, "GET", "/core/content/status"},
                  {content::action::offer},
                  {content::action::manifest},
                  {content::action::data}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<ContentModule>(agent, settings); };
  info.check = check_options;
  return info;
}

}  // namespace

GORGONE_MODULE(info)
