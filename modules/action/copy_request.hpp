#pragma once
// One PROCESSCOPY message, read and judged (docs/protocol.md, "Remote copy"). No I/O.

#include <gorgone/json.hpp>

#include "attributes.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace gorgone::action {

struct CopyRequest {
  enum class Status { chunk, end };
  enum class Type { regular, archive };
  Status status = Status::chunk;
  Type type = Type::regular;
  std::string base64;                  ///< of a chunk
  std::int64_t size = 0;               ///< of a chunk, decoded
  std::optional<std::int64_t> offset;  ///< of a chunk in the whole; at the end, the bytes of the whole
  std::uint64_t needs = 0;             ///< bytes on the disk in the end, as far as the sender knows
  std::string md5;                     ///< of the whole, at the end
  std::string destination, cache_dir;
  Attributes attributes;  ///< at the end
};

/// An Error names the member that is missing or wrong.
Result<CopyRequest> read_copy_request(const json::value& data);

}  // namespace gorgone::action
