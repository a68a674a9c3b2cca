// PROCESSCOPY as a central sends it: messages of a few tokens, right ones, wrong ones, and right ones in a wrong order. What was received
// is remembered, so that a copy whose end is right must be on the disk.

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
  std::string received = {};
  bool is_failed = false;
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
    const auto rows = send(copy, std::move(chunk));
    const bool is_right = fault != 1 && fault != 3 && fault != 4;
    if (copy.is_failed) return require(rows.empty(), "a copy that failed is told once");
    require(rows.size() == 1, "a chunk makes a row");
    require((rows[0].code == code::copy_chunk) == is_right, "right chunks are taken, others are not", rows[0].data);
    copy.received += bytes;
    copy.is_failed = !is_right;
  }

  void send_end(Copy& copy, bool is_archive) {
    const unsigned fault = input_.below(8);
    auto last = content("end", is_archive);
    last["md5"] = fault == 1 ? std::string(input_.text()) : md5(copy.received);
    last["mode"] = fault == 2 ? std::string(input_.text()) : "0640";
    if (fault == 3) last["owner"] = input_.text();
    const bool was_failed = copy.is_failed, has_file = !copy.received.empty() || fs::exists(partial(copy));
    const auto received = copy.received;
    const auto rows = send(copy, std::move(last));
    copy = Copy{copy.token};
    require(!fs::exists(partial(copy)), "what was gathered is gone after the end", partial(copy));
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
  std::array<Copy, 3> copies_{Copy{std::string(128, 'a')}, Copy{"../outside/secret"}, Copy{"b"}};
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
