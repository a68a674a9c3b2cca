#pragma once
// What the two sides say to each other (docs/protocol.md, "content"): requests as messages, answers as history rows of the push's token.
// Pure.

#include <gorgone/journal.hpp>
#include <gorgone/message.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "bytes.hpp"

namespace gorgone::content {

namespace action {
inline constexpr const char *push = "CONTENTPUSH", *rollback = "CONTENTROLLBACK", *status = "CONTENTSTATUS", *offer = "CONTENTOFFER",
                            *manifest = "CONTENTMANIFEST", *data = "CONTENTDATA";
}

/// What is asked for: by the API, gorgonectl, or as a REMOTECOPY.
struct PushRequest {
  std::string source, destination;
  std::string owner, group, mode;  ///< empty: not asked for
  bool preserves_owner = false;    ///< what is not asked for is as at the source
  bool removes_extra = false;      ///< what the source lacks goes away at the destination
  std::string check;               ///< a command; `{staged}` in it is the path of the new content
  bool must_be_atomic = false;
};
/// An Error names the member that is missing or wrong.
Result<PushRequest> read_push(const json::value& content);

/// Why a path cannot be a destination or a source; empty where it can: absolute, without "..".
std::string wrong_with_place(const std::string& path);

struct Offer {
  std::string token;         ///< of the push
  std::int64_t attempt = 0;  ///< rises with each; answers and pieces carry it
  Hash manifest{};
  std::uint64_t files = 0, bytes = 0;
  bool is_followed = false;  ///< by the manifest, which need not be asked for
  PushRequest wish;          ///< without the source
};
Payload write_offer(const Offer& offer);
Result<Offer> read_offer(const json::value& data);

/// A part of a manifest, or a piece of content.
struct Part {
  std::string token;
  std::int64_t attempt = 0;
  std::size_t number = 0, of = 0;  ///< `of` of content: 1 where a confirmation is asked for
  std::string bytes;
};
Payload write_part(Part part);

/// A part that has come. Its raw bytes stay where they are: `data` must outlive what bytes() gives.
struct ArrivedPart {
  std::int64_t attempt = 0;
  std::size_t number = 0, of = 0;
  const std::string* raw = nullptr;
  std::string decoded;  ///< where they came as text

  const std::string& bytes() const { return raw ? *raw : decoded; }
};
Result<ArrivedPart> read_part(const Payload& data);

/// What the node says. The stage is all of what the sender decides by.
struct Answer {
  std::string stage;         ///< manifest, lack, taken, again, changed, busy, installing
  std::int64_t attempt = 0;  ///< that it answers
  std::size_t next = 0;      ///< taken: the piece that is awaited
  std::string lack;          ///< lack: the set of blobs
  std::uint64_t offset = 0;  ///< lack: so much of the first one is there already
  std::uint64_t files = 0, files_of = 0, bytes = 0, bytes_of = 0;
  bool takes_owners = false;  ///< manifest: one that says to whom the files belong is understood
};
NewRow write_answer(const std::string& token, const Answer& answer);
std::optional<Answer> read_answer(const HistoryRow& row);

/// Of a push that its module cannot go on with and that is kept elsewhere (the proxy's outbox): it is to be given to the module again.
NewRow interrupted_row(const std::string& token);
NewRow outcome_row(const std::string& token, int code, json::object data);

}  // namespace gorgone::content
