#include "wire.hpp"

#include <gorgone/base64.hpp>
#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::content {
namespace {

constexpr std::size_t text_max = 4096;

std::string text(const json::value& value, std::string_view name) { return text_of(member(value, name)).value_or(""); }

std::uint64_t number(const json::value& value, std::string_view name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(integer_of(member(value, name)).value_or(0), 0));
}

Result<bool> choice(const json::value& value, const char* name, const char* no, const char* yes) {
  const auto said = text(value, name);
  if (said.empty() || said == no) return false;
  if (said == yes) return true;
  return Error{fmt::format("{}: got \"{}\", expected {} or {} (default {})", name, printable(said), no, yes, no)};
}

std::string said(const Answer& answer) {
  if (answer.stage == "lack")
    return fmt::format("{} of {} files, {} of {} bytes are to be sent", answer.files, answer.files_of, answer.bytes, answer.bytes_of);
  if (answer.stage == "taken")
    return fmt::format("{} of {} files, {} of {} bytes have come", answer.files, answer.files_of, answer.bytes, answer.bytes_of);
  if (answer.stage == "manifest") return "the manifest is awaited";
  if (answer.stage == "again") return "a piece was lost on the way, the rest is sent again";
  if (answer.stage == "changed") return "the source was changed while it was sent, it is read again";
  if (answer.stage == "busy") return "another push to that destination is under way";
  return "the content is being put in place";
}

}  // namespace

std::string wrong_with_place(const std::string& path) {
  if (path.empty()) return "is missing";
  if (path.front() != '/') return fmt::format("got \"{}\", expected an absolute path", printable(path));
  if (path.size() >= text_max || path.find('\0') != std::string::npos) return "is too long or has a zero byte";
  if ((path + "/").find("/../") != std::string::npos) return fmt::format("got \"{}\", expected a path without ..", printable(path));
  return {};
}

Result<PushRequest> read_push(const json::value& content) {
  PushRequest wish;
  wish.source = text(content, "source");
  wish.destination = text(content, "destination");
  if (const auto wrong = wrong_with_place(wish.source); !wrong.empty()) return Error{"source: " + wrong};
  if (const auto wrong = wrong_with_place(wish.destination); !wrong.empty()) return Error{"destination: " + wrong};
  wish.owner = text(content, "owner");
  wish.group = text(content, "group");
  wish.mode = text(content, "mode");
  if (wish.mode.size() > 5 || wish.mode.find_first_not_of("01234567") != std::string::npos)
    return Error{fmt::format("mode: got \"{}\", expected an octal number such as 0644", printable(wish.mode))};
  wish.preserves_owner = truth_of(member(content, "preserve_owner"), false);
  wish.check = text(content, "check_command");
  const auto extra = choice(content, "extra", "keep", "remove");
  if (!extra) return extra.error();
  wish.removes_extra = *extra;
  const auto atomic = choice(content, "atomic", "preferred", "required");
  if (!atomic) return atomic.error();
  wish.must_be_atomic = *atomic;
  return wish;
}

Payload write_offer(const Offer& offer) {
  json::object data{{"token", offer.token}, {"attempt", offer.attempt}, {"manifest", base64_encode(view_of(offer.manifest))},
                    {"files", offer.files}, {"bytes", offer.bytes},     {"destination", offer.wish.destination}};
  if (offer.is_followed) data["followed"] = true;
  if (!offer.wish.owner.empty()) data["owner"] = offer.wish.owner;
  if (!offer.wish.group.empty()) data["group"] = offer.wish.group;
  if (offer.wish.removes_extra) data["extra"] = "remove";
  if (offer.wish.must_be_atomic) data["atomic"] = "required";
  if (!offer.wish.check.empty()) data["check_command"] = offer.wish.check;
  return Payload(json::value(std::move(data)));
}

Result<Offer> read_offer(const json::value& data) {
  Offer offer;
  offer.token = text(data, "token");
  offer.attempt = integer_of(member(data, "attempt")).value_or(0);
  const auto hash = hash_from(base64_decode(text(data, "manifest")));
  if (offer.token.empty() || offer.token.size() > text_max || !hash) return Error{"a content offer lacks its token or its manifest's hash"};
  offer.manifest = *hash;
  offer.files = number(data, "files");
  offer.bytes = number(data, "bytes");
  offer.is_followed = truth_of(member(data, "followed"), false);
  json::object wish = data.get_object();
  wish["source"] = "/";
  auto read = read_push(json::value(std::move(wish)));
  if (!read) return read.error();
  offer.wish = std::move(*read);
  return offer;
}

Payload write_part(Part part) {
  std::string head = R"({"token":)";
  append_json_string(head, part.token);
  head += fmt::format(R"(,"attempt":{},"number":{},"of":{}}})", part.attempt, part.number, part.of);
  return {std::move(head), std::move(part.bytes)};
}

Result<ArrivedPart> read_part(const Payload& data) {
  const auto head = parse_json(data.head());
  if (!head) return head.error();
  const auto* bytes = member(*head, "bytes");
  if (!data.bytes() && (!bytes || !bytes->is_string())) return Error{"a part of content lacks its bytes"};
  ArrivedPart part{integer_of(member(*head, "attempt")).value_or(0), number(*head, "number"), number(*head, "of"), data.bytes(), {}};
  if (!part.raw) part.decoded = base64_decode(bytes->get_string());
  return part;
}

NewRow write_answer(const std::string& token, const Answer& answer) {
  json::object content{{"stage", answer.stage}, {"attempt", answer.attempt}};
  if (answer.stage == "taken") content["next"] = answer.next;
  if (answer.takes_owners) content["owners"] = true;
  if (!answer.lack.empty()) content["lack"] = base64_encode(answer.lack);
  if (answer.offset > 0) content["offset"] = answer.offset;
  if (answer.bytes_of > 0) {
    content["files"] = answer.files;
    content["files_of"] = answer.files_of;
    content["bytes"] = answer.bytes;
    content["bytes_of"] = answer.bytes_of;
  }
  return NewRow{token, code::going_on, to_text(json::value(json::object{{"message", said(answer)}, {"content", std::move(content)}})),
                true};
}

std::optional<Answer> read_answer(const HistoryRow& row) {
  if (row.code != code::going_on) return {};
  const auto data = parse_json(row.data);
  const auto* content = data ? member(*data, "content") : nullptr;
  if (!content) return {};
  Answer answer;
  answer.stage = text(*content, "stage");
  answer.attempt = integer_of(member(*content, "attempt")).value_or(0);
  answer.next = number(*content, "next");
  answer.lack = base64_decode(text(*content, "lack"));
  answer.offset = number(*content, "offset");
  answer.files = number(*content, "files");
  answer.files_of = number(*content, "files_of");
  answer.bytes = number(*content, "bytes");
  answer.bytes_of = number(*content, "bytes_of");
  answer.takes_owners = truth_of(member(*content, "owners"), false);
  return answer;
}

NewRow interrupted_row(const std::string& token) {
  json::object data{{"message", "content - interrupted: the module stops, and the push goes on when it is back"},
                    {"content", json::object{{"stage", "interrupted"}}}};
  return NewRow{token, code::going_on, to_text(json::value(std::move(data))), true};
}

NewRow outcome_row(const std::string& token, int code, json::object data) {
  return NewRow{token, code, to_text(json::value(std::move(data)))};
}

}  // namespace gorgone::content
