#include <gorgone/process.hpp>

#include <gorgone/agent.hpp>

#include "core/process_child.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

namespace gorgone {
namespace {

struct Outcome {
  ProcessResult result;
  bool is_cancelled = false;
};

/// How many bytes at the end are the beginning of a UTF-8 sequence that was cut.
std::size_t cut_sequence(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) ? back : 0;
  }
  return 0;
}

}  // namespace

asio::awaitable<ProcessResult> run_process(Agent& agent, ProcessSpec spec) {
  auto outcome = std::make_shared<Outcome>();
  auto start = [&loop = agent.loop(), outcome, spec = std::move(spec)](auto handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto done = [outcome, shared, slot](ProcessResult result) mutable {
      outcome->result = std::move(result);
      if (slot.is_connected()) slot.clear();
      std::move (*shared)();
    };
    auto child = std::make_shared<Child>(loop, spec, std::move(done));
    auto cancel = [outcome, weak = std::weak_ptr<Child>(child)](asio::cancellation_type) {
      outcome->is_cancelled = true;
      if (auto alive = weak.lock()) alive->cancel();
    };
    if (slot.is_connected()) slot.assign(std::move(cancel));
    child->start();
  };
  const auto& token = asio::use_awaitable;
  co_await asio::async_initiate<decltype(asio::use_awaitable) const&, void()>(start, token);
  if (outcome->is_cancelled) throw boost::system::system_error(asio::error::operation_aborted);
  co_return std::move(outcome->result);
}

std::string output_text(ProcessResult result) {
  if (result.end == ProcessResult::End::timed_out) return "Command too long to execute (timeout)...";
  auto& output = result.output;
  if (result.dropped > 0) {
    const auto cut = cut_sequence(output);
    output.resize(output.size() - cut);
    return to_utf8(output) + fmt::format("\n[output truncated: {} bytes dropped]", result.dropped + cut);
  }
  if (!output.empty() && output.back() == '\n') output.pop_back();
  return to_utf8(output);
}

void add_outcome(json::object& data, int exit_code, std::string_view output, std::int64_t start, std::int64_t end) {
  auto& result = data["result"].emplace_object();
  result["exit_code"] = exit_code;
  result["stdout"] = output;
  auto& metrics = data["metrics"].emplace_object();
  metrics["start"] = start;
  metrics["end"] = end;
  metrics["duration"] = end - start;
}

}  // namespace gorgone
