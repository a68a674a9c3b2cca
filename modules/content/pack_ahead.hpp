#pragma once
// Pieces that are packed on the pool while those before them are sent, a few at most. On the loop.

#include <gorgone/agent.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pack.hpp"

namespace gorgone::content {

class PackAhead : public std::enable_shared_from_this<PackAhead> {
 public:
  /// `has_more` is called on the loop whenever there is another piece, or the end; it may outlive whoever waits for pieces.
  PackAhead(Agent& agent, Packer packer, std::function<void()> has_more)
      : agent_(agent), packer_(std::move(packer)), has_more_(std::move(has_more)), is_last_(packer_.at_end()) {}

  /// The next piece, nothing where it is not ready yet. The Errors are those of Packer::next(); nothing follows one.
  std::optional<Result<std::string>> take();
  /// Nothing is left to be taken.
  bool at_end() const { return is_last_ && ready_.empty(); }
  bool is_packing() const { return is_packing_; }
  /// Begins; what is taken makes room for more.
  void pack();
  /// Nothing more is packed: nobody takes it.
  void stop() { is_stopped_ = true; }

 private:
  asio::awaitable<void> pack_one();

  Agent& agent_;
  Packer packer_;  // the pool's while is_packing_
  std::function<void()> has_more_;
  std::deque<Result<std::string>> ready_;
  bool is_packing_ = false, is_last_ = false, is_stopped_ = false;
};

}  // namespace gorgone::content
