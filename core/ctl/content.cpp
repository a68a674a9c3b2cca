#include "core/ctl/content.hpp"

#include <gorgone/journal.hpp>

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "core/ctl/http_api.hpp"

namespace gorgone::ctl {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds look_every = 100ms, line_every = 2s;
constexpr int bar_width = 30;

struct PushWish {
  ApiWish api;
  std::string node, source, destination, check, owner, group, mode;
  bool mirrors = false, is_atomic = false, preserves_owner = false, is_quiet = false;
  std::int64_t wait_s = 3600;
};

struct RollbackWish {
  ApiWish api;
  std::string node, destination;
  std::int64_t wait_s = 60;
};

std::string amount(double bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit < 4; ++unit) bytes /= 1000;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

// Files, bytes and rate: a bar that is written over on a terminal, now and then a line elsewhere.
class Progress {
 public:
  explicit Progress(bool is_quiet) : is_quiet_(is_quiet), is_terminal_(::isatty(STDOUT_FILENO) == 1), told_at_(Clock::now() - line_every) {}

  void show(const json::value& content) {
    const auto number = [&content](const char* name) { return static_cast<double>(integer_of(member(content, name)).value_or(0)); };
    const auto stage = text_of(member(content, "stage")).value_or("");
    if (is_quiet_ || (stage != "taken" && stage != "lack")) return;
    const double have = stage == "lack" ? 0 : number("bytes"), all = stage == "lack" ? number("bytes") : number("bytes_of");
    const double files = stage == "lack" ? 0 : number("files"), files_of = stage == "lack" ? number("files") : number("files_of");
    if (stage == "lack") began_ = Clock::now();
    const auto time_s = std::chrono::duration<double>(Clock::now() - began_).count();
    const auto figures = fmt::format("{:.0f} of {:.0f} files, {} of {}, {}/s", files, files_of, amount(have), amount(all),
                                     amount(time_s > 0 ? have / time_s : 0));
    if (!is_terminal_) {
      if (Clock::now() < told_at_ + line_every) return;
      told_at_ = Clock::now();
      fmt::print("{}\n", figures);
    } else {
      const auto full = all > 0 ? static_cast<int>(have / all * bar_width) : 0;
      fmt::print("\r[{:=<{}}{:<{}}] {}\x1b[K", "", full, "", bar_width - full, figures);
      is_open_ = true;
    }
    std::fflush(stdout);
  }
  void end() {
    if (is_open_) fmt::print("\r\x1b[K");
  }

 private:
  bool is_quiet_, is_terminal_, is_open_ = false;
  Clock::time_point told_at_, began_ = Clock::now();
};

// Until the token has ended; its last row's data.
Result<json::value> follow(const ApiAddress& api, const std::string& node, const std::string& token, std::int64_t wait_s,
                           Progress& progress) {
  std::int64_t last = 0;
  const auto until = Clock::now() + std::chrono::seconds(wait_s);
  for (;;) {
    // Of the daemon's own log: rows of other nodes come into it by themselves.
    const auto answer = ask(api, fmt::format("/api/log/{}?id={}", token, last), std::nullopt);
    if (!answer) return Error{answer.error().message + "; the daemon goes on with it, token " + token};
    const auto* rows = member(answer->body, "data");
    if (rows && rows->is_array())
      for (const auto& item : rows->get_array()) {
        HistoryRow row;
        last = std::max(last, integer_of(member(item, "id")).value_or(0));
        row.code = static_cast<int>(integer_of(member(item, "code")).value_or(0));
        row.data = text_of(member(item, "data")).value_or("{}");
        auto data = parse_json(row.data);
        if (!data) continue;
        if (const auto* content = member(*data, "content")) progress.show(*content);
        if (!ends_token(row)) continue;
        progress.end();
        if (row.code == code::finished) return std::move(*data);
        return Error{text_of(member(*data, "message")).value_or("it failed")};
      }
    if (Clock::now() > until) {
      progress.end();
      return Error{fmt::format("node {} has not ended it within {} s; the daemon goes on with it, token {}", node, wait_s, token)};
    }
    std::this_thread::sleep_for(look_every);
  }
}

void tell(const json::value& data) {
  const auto how = text_of(member(data, "switch")).value_or("");
  fmt::print("{}{}\n", text_of(member(data, "message")).value_or("done"),
             how == "files" ? "; put in place file by file: " + text_of(member(data, "why")).value_or("") : "");
  if (const auto* warnings = member(data, "warnings"); warnings && warnings->is_array())
    for (const auto& warning : warnings->get_array()) fmt::print("warning: {}\n", text_of(&warning).value_or(""));
}

Result<void> push(const PushWish& wish) {
  const auto api = find_api(wish.api);
  if (!api) return api.error();
  std::error_code unknown;
  const auto absolute = std::filesystem::absolute(wish.source, unknown);
  json::object content{
      {"node", wish.node}, {"source", unknown ? wish.source : absolute.lexically_normal().string()}, {"destination", wish.destination}};
  if (wish.mirrors) content["extra"] = "remove";
  if (wish.is_atomic) content["atomic"] = "required";
  if (wish.preserves_owner) content["preserve_owner"] = true;
  auto add = [&content](const char* name, const std::string& value) {
    if (!value.empty()) content[name] = value;
  };
  add("check_command", wish.check);
  add("owner", wish.owner);
  add("group", wish.group);
  add("mode", wish.mode);
  const auto token = start_action(*api, "/api/core/content/push", json::value(std::move(content)));
  if (!token) return token.error();
  Progress progress(wish.is_quiet);
  const auto outcome = follow(*api, wish.node, *token, wish.wait_s, progress);
  if (!outcome) return outcome.error();
  if (!wish.is_quiet) tell(*outcome);
  return {};
}

Result<void> roll_back(const RollbackWish& wish) {
  const auto api = find_api(wish.api);
  if (!api) return api.error();
  const auto token = start_action(*api, "/api/nodes/" + wish.node + "/core/content/rollback",
                                  json::value(json::object{{"destination", wish.destination}}));
  if (!token) return token.error();
  Progress none(true);
  const auto outcome = follow(*api, wish.node, *token, wish.wait_s, none);
  if (!outcome) return outcome.error();
  tell(*outcome);
  return {};
}

}  // namespace

void add_content(CLI::App& program, Result<void>& outcome) {
  const auto wish = std::make_shared<PushWish>();
  auto* const command = program.add_subcommand("push", "Put a file or a folder of this machine on a node: only what it lacks is sent");
  command->add_option("node", wish->node, "The node's id")->required();
  command->add_option("source", wish->source, "What is sent: a path of the machine on which the daemon runs")->required();
  command->add_option("destination", wish->destination, "Where on the node it is put: an absolute path")->required();
  command->add_flag("--mirror", wish->mirrors, "Remove at the destination what the source does not have");
  command->add_option("--check", wish->check,
                      "A command on the node that must succeed before the switch; {staged} in it is the new content's path");
  command->add_option("--owner", wish->owner,
                      "Who shall own it; otherwise who owned what was there, or owns the folder that it comes into");
  command->add_option("--group", wish->group, "The group it shall have; otherwise as with the owner");
  command->add_flag("--preserve-owner", wish->preserves_owner,
                    "Owners and groups are as at the source, by name, as far as the node's daemon may set them");
  command->add_option("--mode", wish->mode, "The mode of files, such as 0644; otherwise the source's");
  command->add_flag("--atomic", wish->is_atomic, "Fail where it cannot be put in place as one step");
  command->add_flag("--quiet", wish->is_quiet, "Say nothing but what goes wrong");
  command->add_option("--wait", wish->wait_s, "Seconds after which this tool, not the daemon, gives up")->capture_default_str();
  add_api_options(*command, wish->api);
  command->callback([wish, &outcome] { outcome = push(*wish); });

  const auto back = std::make_shared<RollbackWish>();
  auto* const rollback = program.add_subcommand("rollback", "Put back what a push has replaced on a node; a second time undoes the first");
  rollback->add_option("node", back->node, "The node's id")->required();
  rollback->add_option("destination", back->destination, "The path that was pushed to")->required();
  rollback->add_option("--wait", back->wait_s, "Seconds to wait for the node")->capture_default_str();
  add_api_options(*rollback, back->api);
  rollback->callback([back, &outcome] { outcome = roll_back(*back); });
}

}  // namespace gorgone::ctl
