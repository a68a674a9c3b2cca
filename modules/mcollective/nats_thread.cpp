#include "nats_thread.hpp"

#include "nats_worker.hpp"

namespace gorgone::mcollective {

NatsThread::NatsThread(NatsSpec spec, std::function<void()> wake)
    : gate_(NatsGate::make(std::move(wake))), worker_(std::make_unique<NatsWorker>(std::move(spec), *gate_)) {}

NatsThread::~NatsThread() { shut(); }

void NatsThread::shut() { gate_->shut(); }

bool NatsThread::send(NatsOutgoing message) {
  NatsJob job{NatsJob::Kind::publish, std::move(message)};
  return worker_->push(std::move(job));
}

void NatsThread::subscribe(std::string subject) {
  NatsJob job{NatsJob::Kind::subscribe, {}};
  job.message.subject = std::move(subject);
  worker_->push(std::move(job));
}

void NatsThread::unsubscribe(std::string subject) {
  NatsJob job{NatsJob::Kind::unsubscribe, {}};
  job.message.subject = std::move(subject);
  worker_->push(std::move(job));
}

NatsNews NatsThread::take() { return gate_->take(); }

}  // namespace gorgone::mcollective
