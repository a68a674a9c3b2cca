#pragma once
// Whether an answer is late, or only has not had its turn: on a slow line it waits behind what goes before the question, or behind what
// comes. Pure: nothing but a comparison of numbers.

#include <gorgone/export.hpp>

#include <cstdint>

namespace gorgone {

/// What a connection has moved, in bytes, since it was made.
struct LinkFlow {
  std::uint64_t given = 0;     ///< to be sent, what waits here for its turn too
  std::uint64_t taken = 0;     ///< of these, by the other machine as far as that is known
  std::uint64_t received = 0;  ///< read or not
};

/// What a Link, or a WebSocket, is as well that knows it. Apart from Link, so that modules that bring one are what they were.
class GORGONE_API HasFlow {
 public:
  virtual LinkFlow flow() const = 0;

 protected:
  ~HasFlow() = default;
};

/// Nothing moves on one that does not know.
template <class T>
LinkFlow flow_of(const T* link) {
  const auto* known = dynamic_cast<const HasFlow*>(link);
  return known ? known->flow() : LinkFlow();
}

class FlowWatch {
 public:
  static constexpr std::int64_t look_every_s = 2;  // while an answer is awaited
  /// Less than that may be the system's, or the transport's own.
  static constexpr std::uint64_t noise_bytes = 512;

  /// A question is about to be sent.
  void ask(const LinkFlow& flow) {
    seen_ = flow;
    ahead_ = flow.given;
  }
  /// True where what goes before the question has moved on since it was looked at last, or something has come. The question itself does
  /// not count, nor what was sent after it: the system of a daemon that hangs takes them.
  bool moves(const LinkFlow& flow) {
    const bool goes = seen_.taken < ahead_ && flow.taken > seen_.taken;
    const bool comes = flow.received > seen_.received + noise_bytes;
    if (goes || comes) seen_ = flow;
    return goes || comes;
  }

 private:
  LinkFlow seen_;
  std::uint64_t ahead_ = 0;
};

}  // namespace gorgone
