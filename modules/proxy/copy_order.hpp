#pragma once
// What REMOTECOPY asks for, and the PROCESSCOPY messages that come of it (docs/protocol.md, "Remote copy"). Reading does no I/O;
// packing reads the source and blocks, on a pool thread.

#include <gorgone/json.hpp>
#include <gorgone/message.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "copy_source.hpp"

namespace gorgone::proxy {

struct CopyOrder {
  std::string source, destination, cache_dir, type, owner, group, mode;
  std::vector<std::string> unknown;  ///< members that mean nothing here
};

/// `data` is the message's. An Error names the member that is missing or wrong.
Result<CopyOrder> read_copy_order(const json::value& data);
Result<CopyOrder> read_copy_order(const Message& message);

/// Checks the source against what the order says of it; true where it is a folder.
Result<bool> check_source(const CopyOrder& order);

/// The messages of one try, one by one.
class CopyPacker {
 public:
  struct Piece {
    std::string data;         ///< of the message
    std::uint64_t sent = 0;   ///< bytes in this and those before it
    bool is_last = false;     ///< it ends the copy
    std::uint64_t done = 0;   ///< bytes of the source's files that have been read
    std::uint64_t total = 0;  ///< of how many
  };

  static Result<std::unique_ptr<CopyPacker>> open(const CopyOrder& order, std::size_t piece_bytes);
  ~CopyPacker();
  Result<Piece> next();
  /// An end that fits nothing: the receiver throws away what it has.
  std::string abandonment() const { return end_with({}); }

 private:
  struct Digest;
  CopyPacker(const CopyOrder& order, std::size_t piece_bytes, std::unique_ptr<CopySource> source);
  std::string chunk(const std::string& bytes) const;
  std::string last();
  std::string end_with(std::string_view md5) const;

  CopyOrder order_;
  std::size_t piece_bytes_;
  std::unique_ptr<CopySource> source_;
  std::unique_ptr<Digest> digest_;
  std::string common_;  // members of every message
  std::uint64_t sent_ = 0;
  bool has_begun_ = false;
};

}  // namespace gorgone::proxy
