#include "core/net/resolver.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace gorgone::net {
namespace {

using boost::asio::ip::address;
using Clock = std::chrono::steady_clock;

// Names that hung are remembered, but not without end.
constexpr std::size_t remembered_max = 10000;

Result<Resolver::Addresses> ask_system(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failure = getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (failure != 0) return Error{failure == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(failure)};
  Resolver::Addresses found;
  for (const auto* entry = list; entry; entry = entry->ai_next) {
    boost::asio::ip::tcp::endpoint endpoint;
    if (entry->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
    found.push_back(endpoint.address());
  }
  freeaddrinfo(list);
  if (found.empty()) return Error{"it has no address"};
  return found;
}

}  // namespace

// What the threads share with the loop: they may outlive it, for nothing ends a question that hangs.
struct Resolver::Mailbox {
  std::mutex mutex;
  boost::asio::io_context* loop;  // nullptr when that is gone
  explicit Mailbox(boost::asio::io_context& the_loop) : loop(&the_loop) {}
};

Resolver::Resolver(boost::asio::execution_context& loop)
    : service(loop),
      loop_(static_cast<boost::asio::io_context&>(loop)),
      ask_(ask_system),
      timer_(loop_),
      mailbox_(std::make_shared<Mailbox>(loop_)) {}

void Resolver::shutdown() {
  {
    const std::lock_guard lock(mailbox_->mutex);
    mailbox_->loop = nullptr;
  }
  questions_.clear();
}

void Resolver::look_up(const std::string& name, Done done) {
  boost::system::error_code is_a_name;
  const auto literal = boost::asio::ip::make_address(name, is_a_name);
  if (!is_a_name) return boost::asio::post(loop_, [literal, done = std::move(done)] { done(Addresses{literal}); });
  const auto [place, is_new] = questions_.try_emplace(name, Question{{}, false, false, {}, boost::asio::make_work_guard(loop_)});
  place->second.waiters.push_back(std::move(done));
  if (!is_new) return;
  (has_hung_.contains(name) ? last_ : first_).push_back(name);
  begin_more();
}

// Half of what may hang is for names that were never seen to.
void Resolver::begin_more() {
  while (running_ - hanging_ < at_once) {
    const bool has_first = !first_.empty() && running_ < threads_max;
    if (!has_first && (last_.empty() || running_ >= threads_max / 2)) break;
    auto& list = has_first ? first_ : last_;
    const auto name = list.front();
    list.pop_front();
    begin(name);
  }
  watch();
}

void Resolver::begin(const std::string& name) {
  auto& question = questions_.at(name);
  question.is_asked = true;
  question.begin = Clock::now();
  ++running_;
  auto tell = [this, name, mailbox = mailbox_](Result<Addresses> outcome) {
    const std::lock_guard lock(mailbox->mutex);
    if (mailbox->loop) boost::asio::post(*mailbox->loop, [this, name, outcome = std::move(outcome)] { answered(name, outcome); });
  };
  try {
    std::thread([ask = ask_, name, tell] { tell(ask(name)); }).detach();
  } catch (const std::system_error& failure) {
    tell(Error{std::string("no thread for it: ") + failure.what()});
  }
}

void Resolver::answered(const std::string& name, const Result<Addresses>& outcome) {
  const auto question = std::move(questions_.extract(name).mapped());
  --running_;
  if (question.is_hanging) --hanging_;
  if (Clock::now() < question.begin + hanging)
    has_hung_.erase(name);
  else if (has_hung_.size() < remembered_max)
    has_hung_.insert(name);
  begin_more();
  for (const auto& waiter : question.waiters) waiter(outcome);
}

// Only where somebody waits for a place it matters which questions hang.
void Resolver::watch() {
  std::optional<Clock::time_point> next;
  if (!first_.empty() || !last_.empty())
    for (const auto& [name, question] : questions_)
      if (question.is_asked && !question.is_hanging) next = next ? std::min(*next, question.begin + hanging) : question.begin + hanging;
  if (!next) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(*next);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) mark_hanging();
  });
}

void Resolver::mark_hanging() {
  for (auto& [name, question] : questions_)
    if (question.is_asked && !question.is_hanging && Clock::now() >= question.begin + hanging) {
      question.is_hanging = true;
      ++hanging_;
    }
  begin_more();
}

}  // namespace gorgone::net
