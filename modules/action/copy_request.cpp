#include "copy_request.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::action {
namespace {

Result<std::string> folder_path(const json::value& content, std::string_view name) {
  auto path = text_of(member(content, name)).value_or("");
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) {
    return Error{fmt::format("process copy: {} is '{}', expected an absolute path", name, path)};
  }
  return path;
}

Result<void> read_chunk(CopyRequest& request, const json::value* chunk) {
  if (chunk == nullptr || !chunk->is_object()) return Error{"process copy: chunk is missing, expected its data and size"};
  auto data = text_of(member(*chunk, "data"));
  auto size = integer_of(member(*chunk, "size"));
  if (!data || !size) return Error{"process copy: chunk has no data or no size"};
  request.base64 = std::move(*data);
  request.size = *size;
  return {};
}

}  // namespace

Result<CopyRequest> read_copy_request(const json::value& data) {
  const auto* content = member(data, "content");
  if (content == nullptr || !content->is_object()) return Error{"process copy: content is missing, expected a hash"};
  auto text = [content](std::string_view name) { return text_of(member(*content, name)).value_or(""); };

  CopyRequest request;
  auto cache_dir = folder_path(*content, "cache_dir");
  if (!cache_dir) return cache_dir.error();
  auto destination = folder_path(*content, "destination");
  if (!destination) return destination.error();
  request.cache_dir = std::move(*cache_dir);
  request.destination = std::move(*destination);

  auto type = text("type");
  if (type != "regular" && type != "archive") return Error{fmt::format("process copy: type is '{}', expected regular or archive", type)};
  request.type = type == "archive" ? CopyRequest::Type::archive : CopyRequest::Type::regular;

  request.offset = integer_of(member(*content, "offset"));
  request.needs = static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_of(member(*content, "needs")).value_or(0)));

  auto status = text("status");
  if (status == "inprogress") {
    auto chunk = read_chunk(request, member(*content, "chunk"));
    if (!chunk) return chunk.error();
    return request;
  }
  if (status != "end") return Error{fmt::format("process copy: status is '{}', expected inprogress or end", status)};
  request.status = CopyRequest::Status::end;
  request.md5 = text("md5");
  request.attributes = {text("owner"), text("group"), text("mode")};
  return request;
}

}  // namespace gorgone::action
