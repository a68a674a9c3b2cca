#pragma once
// Which messages are pieces of files, that go by the slow lane of a node's queue and are kept in no outbox (docs/protocol.md). No I/O.

#include <gorgone/message.hpp>

#include <string>
#include <string_view>

namespace gorgone::proxy {

/// Pieces of a content sync; what starts one, undoes one or asks is an ordinary message.
bool is_content_piece(std::string_view action);

inline bool is_bulk(std::string_view action) { return action == "PROCESSCOPY" || is_content_piece(action); }

/// The token of one try of a copy: "<token of the job>-try-<8 hex characters>". All messages of a try have it, and what is lost of a
/// try is not sent again: there is another try.
std::string token_of_try(const std::string& job_token);
bool is_token_of_try(std::string_view token);

/// True for bulk that its sender repeats by itself, so that nobody on the way writes it down.
inline bool is_loose_bulk(const Message& message) {
  return message.delivery.empty() &&
         (is_content_piece(message.action) || (message.action == "PROCESSCOPY" && is_token_of_try(message.token)));
}

}  // namespace gorgone::proxy
