#include "outcomes.hpp"

#include <gorgone/json.hpp>
#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::legacycmd {
namespace {

constexpr auto pause = std::chrono::seconds(10);
constexpr std::size_t kinds_max = 1000;
constexpr std::size_t reason_max = 300;

std::string reason_of(const json::value& data, bool with_output) {
  auto message = text_of(member(data, "message")).value_or("");
  // Behind a colon there may be the command itself, as where a whitelist does not allow it.
  if (!with_output) message.resize(std::min(message.find(':'), message.size()));
  while (message.ends_with(' ')) message.pop_back();
  const auto* result = member(data, "result");
  const auto output = result && with_output ? text_of(member(*result, "stdout")).value_or("") : std::string();
  if (message.empty()) return text_of(member(data, "error")).value_or("the row gives no reason");
  return output.empty() ? message : message + ": " + output;
}

}  // namespace

std::optional<std::string> failure_in(const HistoryRow& row, bool with_output) {
  if (row.code != code::failed && row.code != code::command_result) return {};
  const auto data = parse_json(row.data);
  if (row.code == code::failed && !data) return with_output ? row.data : "a row that is no JSON";
  if (row.code == code::failed) return reason_of(*data, with_output);
  const auto* result = data ? member(*data, "result") : nullptr;
  const auto status = result ? integer_of(member(*result, "exit_code")).value_or(0) : 0;
  if (status == 0) return {};
  const auto output = with_output ? text_of(member(*result, "stdout")).value_or("") : std::string();
  return fmt::format("the command ended with exit code {}{}{}", status, output.empty() ? "" : ": ", output);
}

void Outcomes::follow(std::string token, Sent sent, OutcomeClock::time_point now) {
  if (known_.contains(token)) return;
  drop_old(now);
  open_.push_back(Followed{std::move(token), std::move(sent), now + limits_.time});
  known_.emplace(open_.back().token, std::prev(open_.end()));
  if (known_.size() <= limits_.tokens) return;
  // What has ended well once is the least likely to be missed.
  forget(ending_.empty() ? open_.begin() : ending_.begin());
  ++dropped_;
}

std::optional<Failure> Outcomes::heard(const HistoryRow& row, OutcomeClock::time_point now) {
  const auto found = known_.find(row.token);
  if (found == known_.end()) return {};
  const auto one = found->second;
  std::optional<Failure> failure;
  if (auto reason = one->is_told ? std::nullopt : failure_in(row, !one->sent.hides_output)) {
    one->is_told = true;
    failure = Failure{one->sent, one->token, printable(*reason, reason_max)};
  }
  if (ends_token(row)) {
    if (one->is_told || !one->sent.ends_twice) {
      forget(one);
    } else if (!one->is_ending) {
      one->is_ending = true;
      one->until = now + limits_.time_after_end;
      ending_.splice(ending_.end(), open_, one);
    }
  }
  drop_old(now);
  return failure;
}

void Outcomes::forget(List::iterator one) {
  auto& list = one->is_ending ? ending_ : open_;
  known_.erase(one->token);
  list.erase(one);
}

void Outcomes::drop_old(OutcomeClock::time_point now) {
  for (auto* list : {&open_, &ending_})
    while (!list->empty() && list->front().until <= now) forget(list->begin());
}

void FailureLog::note(Failure failure, OutcomeClock::time_point now) {
  tell(now);
  auto key = fmt::format("{}\n{}\n{}", failure.sent.poller, failure.sent.command, failure.reason);
  // Where there are too many kinds the rest of a poller's share one line.
  if (kinds_.size() >= kinds_max && !kinds_.contains(key)) key = failure.sent.poller;
  const auto [kind, is_new] = kinds_.try_emplace(std::move(key), Kind{now, 0, {}});
  if (is_new) return write(failure, 0);
  ++kind->second.untold;
  kind->second.last = std::move(failure);
}

void FailureLog::tell(OutcomeClock::time_point now) {
  for (auto entry = kinds_.begin(); entry != kinds_.end();) {
    auto& kind = entry->second;
    const bool is_due = kind.told + pause <= now;
    if (is_due && kind.untold == 0) {
      entry = kinds_.erase(entry);
      continue;
    }
    if (is_due) {
      write(kind.last, kind.untold);
      kind.told = now;
      kind.untold = 0;
    }
    ++entry;
  }
}

std::optional<OutcomeClock::time_point> FailureLog::due() const {
  std::optional<OutcomeClock::time_point> first;
  for (const auto& [key, kind] : kinds_)
    if (!first || kind.told + pause < *first) first = kind.told + pause;
  return first;
}

void FailureLog::write(const Failure& failure, std::uint64_t count) const {
  const auto& sent = failure.sent;
  const auto name = sent.poller.empty() ? std::string() : name_of_(sent.poller);
  const auto where = sent.poller.empty()
                         ? "on this node"
                         : fmt::format("on poller '{}'{}", printable(sent.poller), name.empty() ? "" : " (" + printable(name) + ")");
  const auto times = count == 0 ? "" : fmt::format(" ({} times since it was told; this is the last)", count);
  write_(fmt::format("{}: {} failed {}: {}{} token={}", sent.source, sent.command, where, failure.reason, times, failure.token));
}

}  // namespace gorgone::legacycmd
