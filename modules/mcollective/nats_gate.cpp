#include <list>

#include "nats_worker.hpp"

namespace gorgone::mcollective {

NatsGate* NatsGate::make(std::function<void()> wake) {
  static std::mutex mutex;
  static auto* all = new std::list<NatsGate>;  // never destroyed, see NatsThread
  std::lock_guard lock(mutex);
  auto& gate = all->emplace_back();
  gate.wake_ = std::move(wake);
  return &gate;
}

void NatsGate::wake(std::unique_lock<std::mutex> lock) {
  // Under the lock, so that nothing is called after shut().
  if (!std::exchange(is_awake_, true)) wake_();
  lock.unlock();
}

void NatsGate::link(NatsNews::Link link) {
  std::unique_lock lock(mutex_);
  if (is_shut_) return;
  news_.links.push_back(std::move(link));
  wake(std::move(lock));
}

void NatsGate::message(NatsMessage message) {
  std::unique_lock lock(mutex_);
  if (is_shut_) return;
  const auto bytes = message.data.size() + message.subject.size();
  if (news_.messages.size() >= NatsThread::waiting_max || bytes_ + bytes > NatsThread::waiting_bytes_max) {
    ++news_.dropped_in;
  } else {
    bytes_ += bytes;
    news_.messages.push_back(std::move(message));
  }
  wake(std::move(lock));
}

void NatsGate::failure(std::string what) {
  std::unique_lock lock(mutex_);
  if (is_shut_) return;
  if (news_.failures.size() < 16) news_.failures.push_back(std::move(what));
  wake(std::move(lock));
}

void NatsGate::count_unsent(std::uint64_t count) {
  std::unique_lock lock(mutex_);
  if (is_shut_) return;
  news_.dropped_out += count;
  wake(std::move(lock));
}

void NatsGate::on_closed(std::function<void()> call) {
  std::lock_guard lock(mutex_);
  on_closed_ = std::move(call);
}

void NatsGate::closed() {
  std::lock_guard lock(mutex_);
  if (on_closed_) on_closed_();
}

NatsNews NatsGate::take() {
  std::lock_guard lock(mutex_);
  is_awake_ = false;
  bytes_ = 0;
  return std::exchange(news_, {});
}

void NatsGate::shut() {
  std::lock_guard lock(mutex_);
  is_shut_ = true;
  wake_ = nullptr;
  news_ = {};
}

}  // namespace gorgone::mcollective
