#include "core/host/module_agent.hpp"

#include <gorgone/await_callback.hpp>
#include <gorgone/key_file.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>

#include "core/config/agent_config.hpp"
#include "core/host/module_host.hpp"
#include "core/host/off_loop.hpp"
#include "core/log_answers.hpp"
#include "core/net/dialer.hpp"
#include "core/net/listener.hpp"

namespace gorgone {
namespace {

constexpr auto late_after = std::chrono::seconds(30);

}  // namespace

ModuleAgent::ModuleAgent(const Services& services, ModuleHost& host, std::string name)
    : services_(services), host_(host), log_(std::move(name)), idle_(services.loop) {}

void ModuleAgent::submit(Message message, Reply reply) { services_.router.submit(std::move(message), std::move(reply)); }

void ModuleAgent::spawn(asio::awaitable<void> work) {
  const auto signal = running_.emplace(running_.end());
  auto ended = [this, signal](const std::exception_ptr& error) {
    running_.erase(signal);
    if (running_.empty()) idle_.cancel();
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const boost::system::system_error& failure) {
      if (failure.code() != asio::error::operation_aborted) log_.error("a task ended: {}", failure.what());
    } catch (const std::exception& failure) {
      log_.error("a task ended: {}", failure.what());
    }
  };
  asio::co_spawn(services_.loop, std::move(work), asio::bind_cancellation_slot(signal->slot(), std::move(ended)));
}

void ModuleAgent::on_pool(std::function<void()> work) {
  // Counted as what is spawned: the module's code must not be unmapped under it.
  const auto signal = running_.emplace(running_.end());
  auto done = [this, signal] {
    running_.erase(signal);
    if (running_.empty()) idle_.cancel();
  };
  auto tell = [this] {
    log_.error("its work beside the loop has run for {} s and goes on, as where a disk or a mount hangs: other work waits for its thread",
               late_after.count());
  };
  run_off_loop(services_.loop, services_.pool, std::move(work), std::move(done), {late_after, std::move(tell)});
}

std::optional<Endpoint> ModuleAgent::endpoint(const std::string& method, const std::string& path) const {
  return services_.router.endpoint(method, path);
}

std::vector<std::string> ModuleAgent::methods(const std::string& path) const { return services_.router.methods(path); }

Result<LinkFactory*> ModuleAgent::link_factory(const std::string& type) { return host_.link_factory(type); }

Result<std::unique_ptr<Link>> ModuleAgent::dial(const DialSpec& spec, LinkOwner& owner) {
  net::Dialer::Services services{services_.loop,
                                 services_.keys,
                                 services_.journal,
                                 [&crypto = services_.crypto](std::function<void()> work) { asio::post(crypto, std::move(work)); },
                                 services_.config.core.integer("max_answer_size"),
                                 services_.config.core.boolean("ipv6")};
  if (const auto warning = spec.client_privkey.empty() ? std::string() : key_file_warning(spec.client_privkey); !warning.empty())
    log_.warning("{}: client_privkey: {}", spec.endpoint, warning);
  return net::Dialer::make(std::move(services), spec, owner);
}

Result<std::unique_ptr<Link>> ModuleAgent::client_link(const std::string& routing_id, LinkOwner& owner) {
  if (!services_.listener.is_open())
    return Error{"this daemon has no listener for it to connect to; set gorgonecore.external_com_type and external_com_path"};
  return services_.listener.attach(routing_id, owner);
}

asio::awaitable<Result<std::string>> ModuleAgent::log_text(HistoryFilter filter, WriteRows write) {
  return await_callback<Result<std::string>>(
      [&answers = services_.log_answers, filter = std::move(filter), write = std::move(write)](auto done) {
        answers.read(filter, [&answers, filter, write, done](Result<Rows> rows, LogAnswers::Place place) {
          answers.tell(filter, std::move(rows), std::move(place), write, done);
        });
      });
}

std::shared_ptr<void> ModuleAgent::add_parent(std::function<void(const Message&)> tell) { return services_.parents.add(std::move(tell)); }

void ModuleAgent::tell_parents(const Message& message) { services_.parents.tell(message); }

asio::awaitable<void> ModuleAgent::begin(const Message& message) {
  if (message.delivery.empty() || !begun_.insert(message.delivery).second) co_return;
  auto start = [this, delivery = message.delivery](auto done) { services_.journal.begin_incoming(delivery, std::move(done)); };
  co_await await_callback<Result<void>>(std::move(start));
}

void ModuleAgent::end(const std::string& delivery) {
  begun_.erase(delivery);
  services_.journal.end_incoming(delivery);
}

const ConfigValue& ModuleAgent::gorgone_config() const {
  static const ConfigValue none;
  const auto* value = services_.config.gorgone();
  return value ? *value : none;
}

const ConfigValue& ModuleAgent::centreon_config() const {
  static const ConfigValue none;
  const auto* value = services_.config.centreon();
  return value ? *value : none;
}

asio::awaitable<bool> ModuleAgent::finish(std::chrono::milliseconds limit) {
  // Cancelling one may end others: look at each only once, and only while it is there.
  std::vector<asio::cancellation_signal*> signals;
  for (auto& signal : running_) signals.push_back(&signal);
  for (auto* signal : signals) {
    const bool there = std::any_of(running_.begin(), running_.end(), [signal](auto& known) { return &known == signal; });
    if (there) signal->emit(asio::cancellation_type::terminal);
  }
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!running_.empty() && std::chrono::steady_clock::now() < until) {
    idle_.expires_at(until);
    boost::system::error_code ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await idle_.async_wait(token);
  }
  co_return running_.empty();
}

}  // namespace gorgone
