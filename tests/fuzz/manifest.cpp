// What the node of a content sync reads: manifests, the sets and pieces that go with them, offers and parts as JSON, the index it keeps.

#include <gorgone/base64.hpp>

#include "modules/content/index.hpp"
#include "modules/content/manifest.hpp"
#include "modules/content/pack.hpp"
#include "modules/content/wire.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

using namespace gorgone;
using namespace gorgone::content;
using fuzz::Input;
using fuzz::require;

namespace {

constexpr ManifestLimits limits{50, 4096};

// A folder of the tree with the links followed as a system would, down to so many; nothing where it leads out.
bool stays_inside(const Manifest& manifest, const std::string& path, int links_left) {
  std::vector<std::string> way;
  std::string rest = path;
  for (bool more = true; more;) {
    const auto slash = rest.find('/');
    more = slash != rest.npos;
    const auto name = rest.substr(0, slash);
    rest = more ? rest.substr(slash + 1) : std::string();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (way.empty()) return false;
      way.pop_back();
      continue;
    }
    way.push_back(name);
    std::string here;
    for (const auto& part : way) here += (here.empty() ? "" : "/") + part;
    const auto* entry = manifest.find(here);
    if (!entry) return true;  // not there: nothing is reached
    if (entry->kind != Entry::Kind::link) continue;
    if (links_left-- == 0) return true;
    if (entry->target.front() == '/') return false;
    way.pop_back();
    rest = entry->target + (rest.empty() ? "" : "/" + rest);
    more = true;
  }
  return true;
}

void check_manifest(std::string_view bytes) {
  const auto read = decode(bytes, limits);
  if (!read) return require(fuzz::is_one_clean_line(read.error().message), "a refused manifest says why on one line", read.error().message);
  const auto& entries = read->entries;
  require(!entries.empty() && entries.size() <= limits.entries, "a manifest has a root, and no more paths than allowed");
  std::set<std::string> folders;
  std::map<Hash, std::uint64_t> sizes;
  std::size_t held = 0;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& entry = entries[i];
    held += entry.path.size() + entry.target.size();
    if (i == 0) require(entry.path.empty() && entry.kind != Entry::Kind::link, "the root comes first");
    if (i > 0) {
      require(entries[i - 1].path < entry.path, "paths rise", entry.path);
      const std::filesystem::path path(entry.path);
      require(path.is_relative() && path.lexically_normal() == path && *path.begin() != "..", "a path stays in the tree", entry.path);
      require(folders.contains(path.parent_path().string()), "each path lies in a folder of the tree", entry.path);
    }
    if (entry.kind == Entry::Kind::folder) folders.insert(entry.path);
    if (entry.kind == Entry::Kind::link)
      require(stays_inside(*read, entry.path, 40), "no link leads out of the tree", entry.path + " -> " + entry.target);
    require(entry.mode <= 0777, "nothing is set-user-id", entry.path);
    if (entry.kind == Entry::Kind::file && entry.size > 0)
      require(sizes.try_emplace(entry.hash, entry.size).first->second == entry.size, "the same content has the same size", entry.path);
    require(read->owners.empty() ? entry.owner == 0 : entry.owner < read->owners.size(), "an owner is one of the list", entry.path);
    require(sum + entry.size >= sum, "the sizes have a sum", entry.path);
    sum += entry.size;
    require(read->find(entry.path) == &entry, "each path is found", entry.path);
  }
  require(read->bytes() == sum, "the sizes are added up");
  require(held <= limits.bytes, "a manifest takes no more memory than its limit", std::to_string(held));
  for (const auto& blob : read->blobs())
    require(entries[blob.entry].hash == blob.hash && entries[blob.entry].size == blob.size, "a blob is a file's");
  const auto again = decode(encode(*read), limits);
  require(again && again->entries == entries && again->owners == read->owners, "a manifest survives being written and read");
}

void check_set(Input input) {
  const std::size_t count = input.below(70);
  const auto set = decode_set(input.rest(), count);
  if (!set) return;
  const auto again = decode_set(encode_set(*set), count);
  require(set->size() == count && again && *again == *set, "a set survives being written and read");
}

void check_piece(std::string_view piece) {
  const auto records = read_piece(piece);
  if (!records) return;
  std::size_t sum = 0;
  for (const auto& record : *records) {
    require(!record.bytes.empty() && record.bytes.data() >= piece.data() &&
                record.bytes.data() + record.bytes.size() <= piece.data() + piece.size(),
            "what a record holds lies in its piece");
    sum += record.bytes.size();
  }
  require(sum < piece.size() || piece.empty(), "no byte belongs to two records");
}

void check_compressed(std::string_view bytes) {
  constexpr std::size_t limit = 10000;
  if (const auto plain = decompress(bytes, limit)) require(plain->size() <= limit, "nothing becomes longer than allowed");
  require(decompress(compress(bytes), bytes.size()) == std::string(bytes), "what was compressed comes back");
}

void check_wire(std::string_view text) {
  const auto data = parse_json(text);
  if (!data) return;
  if (data->is_object()) {
    if (const auto offer = read_offer(*data)) {
      require(wrong_with_place(offer->wish.destination).empty(), "a destination is an absolute path without ..", offer->wish.destination);
      const auto again = read_offer(**write_offer(*offer).json());
      require(again && again->token == offer->token && again->manifest == offer->manifest && again->attempt == offer->attempt &&
                  again->wish.destination == offer->wish.destination && again->wish.check == offer->wish.check &&
                  again->bytes == offer->bytes,
              "an offer survives being written and read", text);
    }
  }
  const Payload payload{std::string(text)};
  if (const auto part = read_part(payload)) {
    const auto written = write_part({std::string(text), part->attempt, part->number, part->of, part->bytes()});
    // With its bytes beside it, and as the text that everybody else gets.
    for (const auto& way : {written, Payload(written.text())}) {
      const auto again = read_part(way);
      const auto head = way.json();
      require(again && again->bytes() == part->bytes() && again->attempt == part->attempt && again->number == part->number &&
                  again->of == part->of,
              "a part survives being written and read", text);
      require(head && text_of(member(**head, "token")) == to_utf8(text), "so does its token", text);
    }
  }
  HistoryRow row;
  row.code = code::going_on;
  row.data = std::string(text);
  if (const auto answer = read_answer(row)) {
    const auto written = write_answer("t", *answer);
    require(parse_json(written.data).has_value(), "an answer is JSON", written.data);
  }
}

void check_index(std::string_view bytes) {
  require(TreeIndex::decode(bytes, "/root").size() == 0, "an index without its sum is none");
  // With the right sum at its end, for nobody guesses that.
  const auto index = TreeIndex::decode(std::string(bytes) + std::string(view_of(sha256(bytes))), "/root");
  require(TreeIndex::decode(index.encode("/root"), "/root") == index, "an index survives being written and read");
  require(TreeIndex::decode(index.encode("/root"), "/other").size() == 0, "an index belongs to one tree");
}

// Entries as they are put together by a sender, some of them wrong.
std::string made_manifest(Input& input, bool has_owners) {
  Manifest manifest;
  if (has_owners)
    for (unsigned count = 1 + input.below(3); count > 0; --count)
      manifest.owners.push_back({input.byte(), input.byte(), std::string(input.text()), std::string(input.text())});
  const std::string first(input.below(8) == 7 ? "x" : "");
  manifest.entries.push_back({first, input.below(8) == 7 ? Entry::Kind::file : Entry::Kind::folder, 0755, 0, {}, {}});
  while (!input.at_end()) {
    Entry entry;
    entry.kind = static_cast<Entry::Kind>(input.below(3));
    const auto shared = std::min<std::size_t>(input.byte(), manifest.entries.back().path.size());
    entry.path = manifest.entries.back().path.substr(0, shared) + std::string(input.text());
    if (input.flag())  // a long way down
      for (unsigned i = input.byte(); i > 0; --i) entry.path += "/d";
    if (entry.kind != Entry::Kind::link) entry.mode = input.number() % 01010;
    if (entry.kind == Entry::Kind::file) entry.size = static_cast<std::uint64_t>(input.number()) << input.below(64);
    if (entry.size > 0) entry.hash = sha256(input.text());
    if (entry.kind == Entry::Kind::link) entry.target = input.text();
    if (has_owners) entry.owner = input.below(4);
    manifest.entries.push_back(std::move(entry));
  }
  if (manifest.entries.size() > 2 && manifest.entries.front().path.empty())
    std::sort(manifest.entries.begin() + 1, manifest.entries.end(),
              [](const Entry& left, const Entry& right) { return left.path < right.path; });
  return encode(manifest);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.below(9)) {
    case 0:
      check_manifest("GORGONE-TREE-1\n" + std::string(input.rest()));
      break;
    case 1:
      check_set(input);
      break;
    case 2:
      check_piece(input.rest());
      break;
    case 3:
      check_compressed(input.rest());
      break;
    case 4:
      check_wire(input.rest());
      break;
    case 5:
      check_index("GORGONE-INDEX-1\n" + std::string(input.rest()));
      break;
    case 7:
      check_manifest(made_manifest(input, true));
      break;
    case 8:
      check_manifest(input.rest());
      break;
    default:
      check_manifest(made_manifest(input, false));
  }
  return 0;
}
