#include "patient_service.hpp"

#include <boost/asio/redirect_error.hpp>

#include <utility>

#include "kept_store.hpp"

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds again_after = 1s, look_every = 5ms;

}  // namespace

PatientService::PatientService(Agent& agent, Settings settings) : agent_(agent), settings_(std::move(settings)), timer_(agent.loop()) {}

asio::awaitable<Result<void>> PatientService::start() {
  auto started = co_await attempt();
  if (started || started.error().code != "database") co_return started;
  agent_.log().error("the broker waits for the journal, tried again every second: {}", started.error().message);
  is_trying_ = true;
  agent_.spawn(try_again());
  co_return Result<void>{};
}

asio::awaitable<Result<void>> PatientService::attempt() {
  service_ = std::make_unique<Service>(agent_, settings_);
  auto started = co_await service_->start();
  is_running_ = started.has_value();
  if (is_running_) co_return started;
  why_not_ = started.error().message;
  // What has been opened already must not go on.
  co_await service_->stop();
  service_.reset();
  co_return started;
}

asio::awaitable<void> PatientService::try_again() {
  while (!is_stopping_) {
    timer_.expires_after(again_after);
    boost::system::error_code ended;
    auto token = asio::redirect_error(asio::use_awaitable, ended);
    co_await timer_.async_wait(token);
    if (ended || is_stopping_) break;
    // Before all is made again, with its lines in the log.
    KeptRange one;
    one.limit = 1;
    const auto probed = co_await kept_records(agent_.journal(), "mcollective.session", one);
    if (!probed) continue;
    const auto started = co_await attempt();
    if (started) break;
    if (started.error().code == "database") continue;
    agent_.log().error("the broker does not run: {}", started.error().message);
    break;
  }
  is_trying_ = false;
}

asio::awaitable<void> PatientService::stop() {
  is_stopping_ = true;
  timer_.cancel();
  asio::steady_timer pause(agent_.loop());
  while (is_trying_) {
    pause.expires_after(look_every);
    co_await pause.async_wait(asio::use_awaitable);
  }
  is_running_ = false;
  why_not_ = "it has been stopped";
  if (service_) co_await service_->stop();
}

}  // namespace gorgone::mcollective
