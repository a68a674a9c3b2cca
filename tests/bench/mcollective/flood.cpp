// A publisher that does not wait: what becomes of its messages.

#include <atomic>
#include <chrono>
#include <iostream>
#include <thread>

#include "load.hpp"

namespace gorgone::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t body_size = 1000;
constexpr int sent_at_once = 100;
constexpr auto over_after = std::chrono::seconds(5);  // of silence on all sides
constexpr auto pause = std::chrono::microseconds(200);

struct Outcome {
  std::atomic<int> sent = 0, acknowledged = 0, refused = 0, delivered = 0;
  int all() const { return sent + acknowledged + refused + delivered; }
};

void publish(Client& publisher, const std::string& topic, int count, const std::atomic<bool>& is_over, Outcome& outcome) {
  const std::string body(body_size, 'b');
  std::vector<zmq::message_t> frames;
  while (!is_over) {
    bool is_idle = true;
    for (int i = 0; i < sent_at_once && outcome.sent < count; ++i, is_idle = false)
      publisher.put(topic, std::to_string(++outcome.sent), body);
    for (; publisher.receive(frames); is_idle = false)
      if (frames.size() > 1) ++(frames[1].to_string_view() == "ERROR" ? outcome.refused : outcome.acknowledged);
    if (is_idle) std::this_thread::sleep_for(pause);
  }
}

}  // namespace

void flood(const Target& target, int count) {
  zmq::context_t publishing(1), subscribing(1);
  const std::string topic = "mcollective nodes node";
  Client publisher(publishing, target, "client"), subscriber(subscribing, target, "node");
  for (auto* client : {&publisher, &subscriber}) client->ask("CONNECT");
  subscriber.ask("SUB", topic);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  wait_for_start();

  Outcome outcome;
  std::atomic<bool> is_over = false;
  const auto begin = Clock::now();
  std::thread thread([&] { publish(publisher, topic, count, is_over, outcome); });
  std::vector<zmq::message_t> frames;
  auto last = begin;
  for (int before = -1; outcome.delivered + outcome.refused < count || outcome.acknowledged + outcome.refused < count;) {
    while (subscriber.receive(frames))
      if (frames.size() > 1 && frames[1].to_string_view() == "MESSAGE") ++outcome.delivered;
    if (const auto now = outcome.all(); now != before) {
      before = now;
      last = Clock::now();
    } else if (Clock::now() - last > over_after) {
      break;
    }
    std::this_thread::sleep_for(pause);
  }
  is_over = true;
  thread.join();
  std::cout << "{\"messages\": " << outcome.delivered << ", \"sent\": " << outcome.sent << ", \"acknowledged\": " << outcome.acknowledged
            << ", \"refused\": " << outcome.refused << ", \"seconds\": " << std::chrono::duration<double>(last - begin).count() << "}"
            << std::endl;
}

}  // namespace gorgone::bench
