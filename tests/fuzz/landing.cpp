// A push of content as its node sees it: offers, manifests and pieces of a few trees, right ones, wrong ones, and right ones in a wrong
// order, with restarts of the node between them. A push that ends well must have left what its manifest says.

#include <gorgone/base64.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "core/log_file.hpp"
#include "modules/content/landing.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/sandbox.hpp"
#include "tests/support/loop_agent.hpp"

using namespace gorgone;
using namespace gorgone::content;
using fuzz::Input;
using fuzz::require;
namespace fs = std::filesystem;

namespace {

/// Runs what blocks on the loop too: nothing then depends on threads.
class OneThreadAgent : public test::LoopAgent {
 public:
  void on_pool(std::function<void()> work) override { asio::post(loop(), std::move(work)); }
};

struct Tree {
  Manifest manifest;
  std::string bytes;
  std::vector<std::string> contents;  ///< by number of blob

  Hash hash() const { return sha256(bytes); }
};

// Of what a sender would say, and of what none would: the paths are the input's own.
Tree read_tree(Input& input) {
  Tree tree;
  auto& entries = tree.manifest.entries;
  std::map<Hash, std::string> content_of;
  const bool is_file = input.below(8) == 7;
  for (unsigned count = 1 + input.below(6); count > 0; --count) {
    Entry entry;
    entry.kind = static_cast<Entry::Kind>(input.below(3));
    if (entries.empty()) entry.kind = is_file ? Entry::Kind::file : Entry::Kind::folder;
    if (!entries.empty()) entry.path = input.text().substr(0, 200);
    if (entry.kind == Entry::Kind::file) {
      const std::string content(input.text().substr(0, 4096));
      entry.mode = 0600 | (input.byte() & 0177);
      entry.size = content.size();
      if (entry.size > 0) content_of[entry.hash = sha256(content)] = content;
      if (input.below(16) == 15) entry.size = input.number();
    }
    if (entry.kind == Entry::Kind::folder) entry.mode = 0700 | (input.byte() & 0077);
    if (entry.kind == Entry::Kind::link) entry.target = input.text();
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& left, const Entry& right) { return left.path < right.path; });
  tree.bytes = encode(tree.manifest);
  if (input.below(8) == 7) tree.bytes += input.text();
  for (const auto& blob : tree.manifest.blobs()) tree.contents.push_back(content_of[blob.hash]);
  return tree;
}

class Run {
 public:
  Run(Input& input, fuzz::Sandbox& sandbox) : input_(input), sandbox_(sandbox), place_(sandbox.destination() / "folder") {
    std::ofstream(place_ / "file") << "old";
    fs::create_directory(place_ / "sub");
    std::ofstream(place_ / "sub" / "kept") << "kept";
    fs::create_directory_symlink("sub", place_ / "in");
    trees_ = {read_tree(input), read_tree(input)};
    begin();
  }

  void step() {
    switch (input_.below(10)) {
      case 0:
      case 1:
        return offer();
      case 2:
        return send_manifest();
      case 3:
      case 4:
      case 5:
        return send_piece();
      case 6:
        return send(std::array{action::offer, action::manifest, action::data}[input_.below(3)], std::string(input_.text()));
      case 7:
        return change_destination();
      case 8:
        return restart();
      default:
        return push_all();
    }
  }

  void finish() {
    restart();
    for (const auto& row : rows_) {
      require(parse_json(row.data).has_value(), "a row holds JSON", row.data);
      require(to_utf8(row.data) == row.data, "a row holds UTF-8", row.data);
    }
  }

 private:
  void begin() {
    agent_.emplace();
    ground_.emplace();
    ground_->options.state_dir = (sandbox_.cache() / "state").string();
    ground_->options.allowed = {sandbox_.destination().string()};
    ground_->options.limits = {20, 65536};
    seen_ = 0;
  }

  // The module stops in the middle, as at a restart of the daemon: what has come is on the disk.
  void restart() {
    fuzz::guard_names(sandbox_.destination().string(), "blobs/");
    agent_->cancel_all();
    work();
    landing_.reset();
    agent_.reset();
    fuzz::guard_names({});
    sandbox_.check();
    begin();
  }

  void work() {
    for (agent_->loop().restart(); agent_->loop().poll() > 0;) agent_->loop().restart();
  }

  void offer() {
    const auto number = input_.below(2);
    const bool removes_extra = input_.flag();
    ++attempt_;
    if (input_.below(8) == 7) attempt_ = input_.byte();
    const bool is_followed = input_.flag(), must_be_atomic = input_.below(4) == 3;
    make_offer(number, removes_extra, is_followed, must_be_atomic);
  }

  void make_offer(unsigned number, bool removes_extra, bool is_followed, bool must_be_atomic) {
    Offer offer;
    offer.attempt = attempt_;
    offer.manifest = trees_[number].hash();
    offer.files = trees_[number].manifest.files();
    offer.bytes = trees_[number].manifest.bytes();
    offer.is_followed = is_followed;
    offer.wish.destination = place_.string();
    offer.wish.removes_extra = removes_extra;
    offer.wish.must_be_atomic = must_be_atomic;
    if (!is_landing()) begin_landing();
    offer.token = token_;
    if (attempt_ > accepted_) {
      accepted_ = attempt_;
      tree_ = number;
      removes_extra_ = removes_extra;
    }
    send(action::offer, write_offer(offer).text());
  }

  bool is_landing() const { return landing_ && !landing_->has_ended(); }

  void begin_landing() {
    token_ = "push-" + std::to_string(++landings_);
    accepted_ = 0;
    landing_ = std::make_shared<Landing>(*agent_, *ground_, token_);
    agent_->spawn(landing_->run());
  }

  void send_manifest() {
    const unsigned fault = input_.below(8);
    Part part{token_, attempt_, 0, 1, compress(tree().bytes)};
    if (fault == 1) part.number = input_.byte();
    if (fault == 2) part.of = input_.byte();
    if (fault == 3) part.bytes = input_.text();
    if (fault == 4) part.attempt = input_.byte();
    if (fault == 5) {  // in two halves
      const auto rest = part.bytes.substr(part.bytes.size() / 2);
      part.bytes.resize(part.bytes.size() / 2);
      part.of = 2;
      send(action::manifest, write_part(part).text());
      part.number = 1;
      part.bytes = rest;
    }
    send(action::manifest, write_part(part).text());
  }

  // What the node said that it lacks, from where it is; some of it wrong.
  void send_piece() {
    const unsigned fault = input_.below(12), count = 1 + input_.below(4), size = 1 + input_.byte() * 32;
    std::string piece;
    for (unsigned i = 0; i < count && next_ < wanted_.size(); ++i) {
      const auto blob = wanted_[next_];
      if (blob >= tree().contents.size()) break;  // the other tree has been offered since
      const auto& content = tree().contents[blob];
      if (offset_ >= content.size()) break;
      auto bytes = content.substr(offset_, size);
      put_number(piece, fault == 1 ? input_.number() : blob);
      put_number(piece, fault == 2 ? input_.number() : offset_);
      if (fault == 3) bytes += input_.text();
      if (fault == 4) bytes[0] = static_cast<char>(bytes[0] + 1);
      put_text(piece, bytes);
      offset_ += std::min<std::size_t>(size, content.size() - offset_);
      if (offset_ < content.size()) continue;
      offset_ = 0;
      ++next_;
    }
    Part part{token_, attempt_, piece_number_++, input_.below(2), compress(piece)};
    if (fault == 5) part.number = input_.byte();
    if (fault == 6) part.bytes = input_.text();
    if (fault == 7) part.bytes = compress(std::string(piece_bytes_max + 1, 'x'));
    send(action::data, write_part(part).text());
  }

  // A push as it should be: it ends, well or with a reason.
  void push_all() {
    attempt_ = std::max<std::int64_t>({attempt_, accepted_, 300}) + 1;
    const auto number = input_.below(2);
    const bool removes_extra = input_.flag();
    const auto before = ended_;
    is_streaming_ = false;
    make_offer(number, removes_extra, false, false);
    if (ended_ == before && !is_streaming_) send(action::manifest, write_part({token_, attempt_, 0, 1, compress(tree().bytes)}).text());
    for (std::size_t limit = 0; ended_ == before && is_streaming_ && next_ < wanted_.size() && limit < 100; ++limit) {
      std::string piece;
      const auto blob = wanted_[next_++];
      put_number(piece, blob);
      put_number(piece, offset_);
      put_text(piece, std::string_view(tree().contents[blob]).substr(std::min<std::size_t>(offset_, tree().contents[blob].size())));
      offset_ = 0;
      send(action::data, write_part({token_, attempt_, piece_number_++, 1, compress(piece)}).text());
    }
    const auto read = decode(tree().bytes, ground_->options.limits);
    bool is_honest = read.has_value();
    if (read) {
      const auto blobs = read->blobs();
      for (std::size_t i = 0; i < blobs.size(); ++i) is_honest = is_honest && tree().contents[i].size() == blobs[i].size;
    }
    if (is_honest) require(ended_ > before, "a push that is made as it should be ends");
  }

  void send(const char* name, std::string data) {
    // A destination of the fuzzer's own choice would be written to.
    if (name == action::offer) {
      const auto parsed = parse_json(data);
      const auto offer = parsed && parsed->is_object() ? read_offer(*parsed) : Result<Offer>(Error{"none"});
      if (offer && offer->wish.destination != place_.string()) return;
      if (offer && !offer->wish.check.empty()) return;
    }
    if (!is_landing()) {
      if (name != action::offer) return;
      begin_landing();
    }
    landing_->take(Message{name, token_, {}, Payload(std::move(data)), {}});
    fuzz::guard_names(sandbox_.destination().string(), "blobs/");
    work();
    fuzz::guard_names({});
    sandbox_.check();
    listen();
  }

  void listen() {
    auto& rows = agent_->recorded().rows;
    for (; seen_ < rows.size(); ++seen_) {
      const auto& said = rows[seen_];
      rows_.push_back(said);
      require(said.token == token_, "a push speaks of itself");
      if (said.code == code::finished) check_placed();
      if (said.code == code::finished || said.code == code::failed) {
        ++ended_;
        is_streaming_ = false;
        continue;
      }
      HistoryRow row;
      row.code = said.code;
      row.data = said.data;
      const auto answer = read_answer(row);
      require(answer.has_value(), "what is no end is an answer", said.data);
      is_streaming_ = answer->stage == "lack" || (is_streaming_ && answer->stage == "taken");
      if (answer->stage != "lack") continue;
      // The offer may have been for the other tree, by a message of the fuzzer's own.
      const auto set = decode_set(answer->lack, tree().contents.size());
      wanted_.clear();
      for (std::size_t i = 0; set && i < set->size(); ++i)
        if ((*set)[i]) wanted_.push_back(i);
      next_ = 0;
      offset_ = answer->offset;
      piece_number_ = 0;
    }
  }

  void check_placed() const {
    std::size_t paths = 0;
    for (const auto& entry : tree().manifest.entries) {
      const auto path = entry.path.empty() ? place_ : place_ / entry.path;
      struct stat status {};
      require(::lstat(path.c_str(), &status) == 0, "each path of the manifest is there", path.string());
      const auto mode = status.st_mode & 07777;
      if (entry.kind == Entry::Kind::folder)
        require(S_ISDIR(status.st_mode) && (entry.path.empty() || mode == entry.mode), "a folder is as it should be", path.string());
      if (entry.kind == Entry::Kind::link)
        require(S_ISLNK(status.st_mode) && fs::read_symlink(path) == entry.target, "a link leads where it should", path.string());
      if (entry.kind == Entry::Kind::file) {
        require(S_ISREG(status.st_mode) && mode == entry.mode, "a file is as it should be", path.string());
        std::ostringstream content;
        content << std::ifstream(path, std::ios::binary).rdbuf();
        require(entry.size == 0 ? content.str().empty() : sha256(content.str()) == entry.hash, "a file holds what the manifest says",
                path.string());
      }
      ++paths;
    }
    if (!removes_extra_ || !fs::is_directory(place_)) return;
    for (const auto& entry : fs::recursive_directory_iterator(place_)) {
      const auto below = entry.path().lexically_relative(place_).string();
      require(below.starts_with(".gorgone") || tree().manifest.find(below) != nullptr, "nothing besides is left where it should go", below);
    }
  }

  void change_destination() {
    const unsigned what = input_.below(5);
    std::error_code ignored;
    if (what == 0) std::ofstream(place_ / "file") << input_.text();
    if (what == 1) fs::remove_all(place_ / "sub", ignored);
    if (what == 2) fs::create_directory_symlink("../in", place_ / "sub", ignored);
    if (what == 3) fs::remove_all(place_, ignored);
    if (what == 4) std::ofstream(place_) << "a file";
  }

  const Tree& tree() const { return trees_[tree_]; }

  Input& input_;
  fuzz::Sandbox& sandbox_;
  fs::path place_;
  std::array<Tree, 2> trees_;
  std::size_t tree_ = 0;
  std::optional<OneThreadAgent> agent_;
  std::optional<Ground> ground_;
  std::shared_ptr<Landing> landing_;
  std::vector<NewRow> rows_;
  std::string token_;
  std::size_t seen_ = 0, ended_ = 0, landings_ = 0;
  std::int64_t attempt_ = 0, accepted_ = 0;
  bool removes_extra_ = false, is_streaming_ = false;
  std::vector<std::size_t> wanted_;
  std::size_t next_ = 0, piece_number_ = 0;
  std::uint64_t offset_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  set_severity(Severity::fatal);  // a refused push is a line in the log
  ::umask(022);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fuzz::Sandbox sandbox;
  Input input(data, size);
  {
    Run run(input, sandbox);
    while (!input.at_end()) run.step();
    run.finish();
  }
  sandbox.reset();
  return 0;
}
