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

}  // namespace gorgone
