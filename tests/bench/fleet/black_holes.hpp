#pragma once
// Addresses that lead nowhere, in three ways. Has a thread of its own, which takes connections and never says anything.

#include <atomic>
#include <cstdint>
#include <thread>

namespace bench::fleet {

class BlackHoles {
 public:
  BlackHoles();
  ~BlackHoles();
  BlackHoles(const BlackHoles&) = delete;

  /// Takes connections and is mute.
  std::uint16_t mute() const { return mute_port_; }
  /// Its backlog is full: what comes is dropped by the kernel without an answer, as on a path that is cut.
  std::uint16_t dropping() const { return dropping_port_; }
  /// Refuses.
  std::uint16_t refusing() const { return refusing_port_; }

 private:
  void swallow();

  int mute_, dropping_, refusing_, poll_;
  int full_[2];  // connections that fill the backlog
  std::uint16_t mute_port_, dropping_port_, refusing_port_;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace bench::fleet
