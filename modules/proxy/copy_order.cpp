#include "copy_order.hpp"

#include <gorgone/base64.hpp>

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

namespace gorgone::proxy {
namespace {

constexpr std::array<std::string_view, 7> known_members{"source", "destination", "cache_dir", "type", "owner", "group", "mode"};
constexpr const char* standard_cache_dir = "/tmp";
// What even an empty file takes on the disk.
constexpr std::uint64_t file_cost = 4096;

Result<void> check_path(std::string_view name, const std::string& path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos)
    return Error{fmt::format("remote copy: {} is '{}', expected an absolute path", name, path)};
  return {};
}

}  // namespace

Result<CopyOrder> read_copy_order(const json::value& data) {
  const auto* content = member(data, "content");
  if (!content || !content->is_object()) return Error{"remote copy: content is missing, expected {\"source\", \"destination\", …}"};
  auto text = [content](std::string_view name) { return text_of(member(*content, name)).value_or(""); };
  CopyOrder order{text("source"), text("destination"), text("cache_dir"), text("type"), text("owner"), text("group"), text("mode"), {}};
  if (order.cache_dir.empty()) order.cache_dir = standard_cache_dir;
  for (const auto& [name, path] :
       {std::pair{"source", &order.source}, {"destination", &order.destination}, {"cache_dir", &order.cache_dir}})
    if (auto checked = check_path(name, *path); !checked) return checked.error();
  // Deployed daemons go by what the source is, and name a temporary file by any other type.
  if (order.type != "regular" && order.type != "archive") order.type.clear();
  for (const auto& item : content->get_object())
    if (std::find(known_members.begin(), known_members.end(), std::string_view(item.key())) == known_members.end())
      order.unknown.emplace_back(item.key());
  return order;
}

Result<CopyOrder> read_copy_order(const Message& message) {
  const auto data = message.data.json();
  if (!data) return data.error();
  return read_copy_order(**data);
}

Result<bool> check_source(const CopyOrder& order) {
  auto folder = is_folder(order.source);
  if (!folder) return Error{"remote copy: " + folder.error().message};
  if (!order.type.empty() && (order.type == "archive") != *folder)
    return Error{fmt::format("remote copy: type is '{}', but source '{}' is a {}", order.type, order.source, *folder ? "folder" : "file")};
  return folder;
}

struct CopyPacker::Digest {
  Digest() : context(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context, EVP_md5(), nullptr); }
  ~Digest() { EVP_MD_CTX_free(context); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  EVP_MD_CTX* context;
};

CopyPacker::CopyPacker(const CopyOrder& order, std::size_t piece_bytes, std::unique_ptr<CopySource> source)
    : order_(order), piece_bytes_(piece_bytes), source_(std::move(source)), digest_(std::make_unique<Digest>()) {
  const bool is_folder = source_->is_folder();
  auto destination = order_.destination;
  if (!is_folder && destination.back() == '/') destination += std::filesystem::path(order_.source).filename().string();
  common_ = R"("type":)";
  append_json_string(common_, is_folder ? "archive" : "regular");
  common_ += R"(,"destination":)";
  append_json_string(common_, destination);
  common_ += R"(,"cache_dir":)";
  append_json_string(common_, order_.cache_dir);
}

CopyPacker::~CopyPacker() = default;

Result<std::unique_ptr<CopyPacker>> CopyPacker::open(const CopyOrder& order, std::size_t piece_bytes) {
  auto checked = check_source(order);
  if (!checked) return checked.error();
  auto source = CopySource::open(order.source);
  if (!source) return source.error();
  return std::unique_ptr<CopyPacker>(new CopyPacker(order, piece_bytes, std::move(*source)));
}

Result<CopyPacker::Piece> CopyPacker::next() {
  auto bytes = source_->read(piece_bytes_);
  if (!bytes) return bytes.error();
  Piece piece;
  // Of an empty file one empty chunk goes: without any there would be no file.
  if (bytes->empty() && has_begun_) {
    piece.is_last = true;
    piece.data = last();
  } else {
    EVP_DigestUpdate(digest_->context, bytes->data(), bytes->size());
    piece.data = chunk(*bytes);
    sent_ += bytes->size();
    has_begun_ = true;
  }
  piece.sent = sent_;
  piece.done = source_->done();
  piece.total = source_->total();
  return piece;
}

std::string CopyPacker::chunk(const std::string& bytes) const {
  // `offset`, `total` and `needs` are ours: a deployed receiver passes over them.
  const auto needs = source_->total() + (source_->is_folder() ? source_->files() * file_cost : 0);
  auto text = fmt::format(R"({{"content":{{"status":"inprogress","md5":null,{},"offset":{},"needs":{},"chunk":{{"size":{},"data":")",
                          common_, sent_, needs, bytes.size());
  text += base64_encode(bytes);
  text += R"("}},"parameters":{"no_fork":1}})";
  return text;
}

std::string CopyPacker::last() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_DigestFinal_ex(digest_->context, digest.data(), &size);
  return end_with(fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, "")));
}

std::string CopyPacker::end_with(std::string_view md5) const {
  auto text = fmt::format(R"({{"content":{{"status":"end","chunk":null,{},"offset":{},"md5":"{}")", common_, sent_, md5);
  for (const auto& [name, value] : {std::pair{"owner", &order_.owner}, {"group", &order_.group}, {"mode", &order_.mode}}) {
    text += fmt::format(R"(,"{}":)", name);
    if (value->empty())
      text += "null";
    else
      append_json_string(text, *value);
  }
  text += R"(},"parameters":{"no_fork":1}})";
  return text;
}

}  // namespace gorgone::proxy
