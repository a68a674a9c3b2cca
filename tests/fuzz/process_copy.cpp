// PROCESSCOPY as a central sends it: messages of a few tokens, right ones, wrong ones, and right ones in a wrong order; with offsets, which
// leave gaps and repeat what came; and several tries of one copy. What was received is remembered, so that a copy whose end is right must
// be on the disk.

#include "core/log_file.hpp"
#include "modules/action/copier.hpp"
#include "modules/action/files.hpp"
#include "tests/fuzz/sandbox.hpp"
#include "tests/fuzz/tar.hpp"
#include "tests/support/loop_agent.hpp"

#include <gorgone/base64.hpp>

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

using namespace gorgone;
using namespace gorgone::fuzz;
namespace fs = std::filesystem;

namespace {

/// Runs what blocks on the loop too: nothing then depends on threads.
class Agent : public test::LoopAgent {
 public:
  void on_pool(std::function<void()> work) override { asio::post(loop(), std::move(work)); }
};

std::string md5(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_md5(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

struct Copy {
  std::string token;
  std::string received = {};  // what is gathered on the disk
  bool is_failed = false;
  bool is_open = false;  // a right message of it has come; what another try leaves of it lies there, and is nobody's
};

class Run {
 public:
  Run(Input& input, Sandbox& sandbox) : input_(input), sandbox_(sandbox) {}

  void step() {
    auto& copy = copies_[input_.below(copies_.size())];
    switch (input_.below(5)) {
      case 0:
        return send_chunk(copy, std::string(input_.text()));
      case 1: {
        Input members = Input(input_.text());
        return send_chunk(copy, make_tar(members, sandbox_.outside().string()));
      }
      case 2:
        return send_end(copy, false);
      case 3:
        return send_end(copy, true);
      default:
        return send_text(copy, std::string(input_.text()));
    }
  }

  void finish() {
    for (const auto& row : agent_.recorded().rows) {
      require(parse_json(row.data).has_value(), "a row holds JSON", row.data);
      require(to_utf8(row.data) == row.data, "a row holds UTF-8", row.data);
    }
    agent_.cancel_all();
  }

 private:
  json::object content(std::string_view status, bool is_archive) const {
    json::object content;
    content["status"] = status;
    content["type"] = is_archive ? "archive" : "regular";
    content["destination"] = (is_archive ? sandbox_.destination() : sandbox_.copied()).string();
    content["cache_dir"] = sandbox_.cache().string();
    content["chunk"] = nullptr;
    return content;
  }

  void send_chunk(Copy& copy, const std::string& bytes) {
    const unsigned fault = input_.below(16);
    std::string base64 = base64_encode(bytes);
    if (fault == 1) base64 += "!";
    if (fault == 2 && base64.size() > 60) base64.insert(60, "\n");
    auto chunk = content("inprogress", input_.flag());
    if (fault != 3) chunk["chunk"] = {{"data", base64}, {"size", bytes.size() + (fault == 4 ? 1 : 0)}};
    const auto offset = draw_offset(copy, bytes.size());
    if (offset) chunk["offset"] = *offset;
    const bool is_too_much = input_.below(16) == 1;
    if (is_too_much) chunk["needs"] = input_.flag() ? std::numeric_limits<std::int64_t>::max() : std::int64_t{1} << 60;
    if (!copy.is_failed && fault != 3) begin(copy);
    if (!copy.is_failed && fault != 3 && offset == 0) forget_other_tries(copy);
    const auto rows = send(copy, std::move(chunk));
    if (copy.is_failed) return require(rows.empty(), "a copy that failed is told once");
    require(rows.size() == 1, "a chunk makes a row");
    const auto present = static_cast<std::int64_t>(copy.received.size()), size = static_cast<std::int64_t>(bytes.size());
    const bool is_next = !offset || *offset == present, is_repeated = offset && *offset >= 0 && *offset <= present - size;
    const bool is_sound = fault != 1 && fault != 3 && fault != 4 && !(is_too_much && offset == 0);
    const bool is_right = is_sound && (is_next || is_repeated);
    require((rows[0].code == code::copy_chunk) == is_right, "right chunks are taken, others are not", rows[0].data);
    const auto told = parse_json(rows[0].data);
    const auto* again = told ? member(*told, "error") : nullptr;
    require((again != nullptr) == (is_sound && !is_right), "a gap, and nothing else, asks for another try", rows[0].data);
    copy.is_failed = !is_right;
    if (is_right && is_next) copy.received += bytes;
    if (!is_right && copy.is_open) copy.received.clear();
    if (!is_right) return;
    const auto bytes_told = integer_of(member(*told, "bytes"));
    require(bytes_told == static_cast<std::int64_t>(copy.received.size()), "a chunk's row says how much has come", rows[0].data);
  }

  /// Where a chunk says that it belongs: nowhere, as deployed centrals, behind what came, in it, behind a gap, or far away.
  std::optional<std::int64_t> draw_offset(const Copy& copy, std::size_t size) {
    const auto present = static_cast<std::int64_t>(copy.received.size());
    switch (input_.below(8)) {
      case 1:
        return present;
      case 2:
        return 0;
      case 3:
        return present - static_cast<std::int64_t>(size);
      case 4:
        return present + 1;
      case 5:
        return input_.number() % (copy.received.size() + 1);
      case 6:
        return input_.flag() ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
      default:
        return {};
    }
  }

  /// A right message of a copy that is not open: other tries of it end with it, and what they failed by is forgotten.
  void begin(Copy& copy) {
    if (copy.is_open) return;
    copy.is_open = true;
    for (auto* other : other_tries(copy)) other->is_open = other->is_failed = false;
  }
  void forget_other_tries(const Copy& copy) {
    for (auto* other : other_tries(copy)) other->received.clear();
  }
  std::vector<Copy*> other_tries(const Copy& copy) {
    std::vector<Copy*> others;
    const auto prefix = action::tries_prefix(copy.token);
    for (auto& other : copies_)
      if (&other != &copy && !prefix.empty() && action::tries_prefix(other.token) == prefix) others.push_back(&other);
    return others;
  }

  void send_end(Copy& copy, bool is_archive) {
    const unsigned fault = input_.below(8);
    auto last = content("end", is_archive);
    last["md5"] = fault == 1 ? std::string(input_.text()) : md5(copy.received);
    last["mode"] = fault == 2 ? std::string(input_.text()) : "0640";
    if (fault == 3) last["owner"] = input_.text();
    const bool was_failed = copy.is_failed, has_file = !copy.received.empty() || fs::exists(partial(copy));
    if (!was_failed) begin(copy);
    const auto received = copy.received;
    const auto rows = send(copy, std::move(last));
    copy = Copy{copy.token};
    // Of a try that another ended, and that then failed by a message that is none, something may lie there until the next try begins.
    if (was_failed && !received.empty()) copy.received = received;
    require(fs::exists(partial(copy)) == !copy.received.empty(), "what was gathered is gone after the end", partial(copy));
    if (was_failed) return require(rows.empty(), "a copy that failed is told once");
    require(rows.size() == 1 && (rows[0].code == code::finished || rows[0].code == code::failed), "a copy ends with one row");
    if (is_archive || (fault > 0 && fault < 3)) return;
    require((rows[0].code == code::finished) == has_file, "a copy that came whole is finished", rows[0].data);
    if (!has_file) return;
    std::ostringstream placed;
    placed << std::ifstream(sandbox_.copied(), std::ios::binary).rdbuf();
    require(placed.str() == received, "the file is what was sent");
  }

  void send_text(Copy& copy, const std::string& text) {
    const auto data = parse_json(text);
    // A path of the fuzzer's own choice would be written to.
    if (data && action::read_copy_request(*data)) return;
    const auto rows = send_data(copy, text);
    const bool is_quiet = data && member(*data, "logging") != nullptr;
    if (!copy.is_failed && !is_quiet) require(rows.size() == 1 && rows[0].code == code::failed, "a message that is no copy fails it", text);
    copy.is_failed = true;
    if (copy.is_open) copy.received.clear();
  }

  std::vector<NewRow> send(const Copy& copy, json::object content) {
    json::object data;
    data["content"] = std::move(content);
    return send_data(copy, to_text(json::value(std::move(data))));
  }

  std::vector<NewRow> send_data(const Copy& copy, std::string data) {
    const auto before = agent_.recorded().rows.size();
    guard_names(sandbox_.destination().string());
    agent_.spawn(copier_.take(Message{"PROCESSCOPY", copy.token, {}, Payload(std::move(data)), {}}));
    agent_.run();
    guard_names({});
    sandbox_.check();
    const auto& rows = agent_.recorded().rows;
    return {rows.begin() + static_cast<std::ptrdiff_t>(before), rows.end()};
  }

  std::string partial(const Copy& copy) const { return action::partial_path(sandbox_.cache().string(), copy.token); }

  Input& input_;
  Sandbox& sandbox_;
  Agent agent_;
  action::Options options_;
  action::Copier copier_{agent_, options_};
  std::array<Copy, 6> copies_{Copy{std::string(128, 'a')}, Copy{"../outside/secret"}, Copy{"b"},
                              Copy{"job-try-00000001"},    Copy{"job-try-00000002"},  Copy{"job-try-0000000f"}};
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  set_severity(Severity::fatal);  // a refused copy is a line in the log
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Sandbox sandbox;
  Input input(data, size);
  {
    Run run(input, sandbox);
    while (!input.at_end()) run.step();
    run.finish();
  }
  sandbox.reset();
  return 0;
}
