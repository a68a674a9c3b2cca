#include "core/log_file.hpp"

#include <gorgone/json.hpp>

#include <spdlog/details/null_mutex.h>
#include <spdlog/details/os.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <mutex>

namespace gorgone {
namespace {

// Of the file, or standard error.
std::atomic<int> descriptor{STDERR_FILENO};

// Appends to a file; looks at most once a second whether the path still leads to it.
class RotatedFileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit RotatedFileSink(std::string path) : path_(std::move(path)) {}
  ~RotatedFileSink() override { close(); }

  bool open() {
    close();
    file_ = std::fopen(path_.c_str(), "ae");
    if (!file_) return false;
    struct stat info {};
    if (fstat(fileno(file_), &info) == 0) inode_ = info.st_ino;
    descriptor = fileno(file_);
    return true;
  }

  void reopen() {
    std::lock_guard lock(mutex_);
    open();
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    check_path(message.time);
    if (!file_) return;
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    // One write per line keeps lines whole when several processes share a file.
    std::fwrite(line.data(), 1, line.size(), file_);
    std::fflush(file_);
  }
  void flush_() override {
    if (file_) std::fflush(file_);
  }

 private:
  void check_path(spdlog::log_clock::time_point now) {
    if (now < next_check_ && now + std::chrono::seconds(2) > next_check_) return;
    next_check_ = now + std::chrono::seconds(1);
    struct stat info {};
    if (!file_ || stat(path_.c_str(), &info) != 0 || info.st_ino != inode_) open();
  }
  void close() {
    descriptor = STDERR_FILENO;
    if (file_) std::fclose(file_);
    file_ = nullptr;
  }

  std::string path_;
  std::FILE* file_ = nullptr;
  ino_t inode_ = 0;
  spdlog::log_clock::time_point next_check_{};
};

std::atomic<Severity> threshold{Severity::info};
Severity configured = Severity::info;
std::shared_ptr<RotatedFileSink> file_sink;

spdlog::logger& logger() {
  // %v carries level and module: the deployed format names levels in its own way.
  static spdlog::logger instance = [] {
    spdlog::logger made("gorgoned", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern("%Y-%m-%d %H:%M:%S - %v");
    made.set_level(spdlog::level::trace);
    return made;
  }();
  return instance;
}

constexpr std::size_t line_max = 16384;
constexpr std::array<std::string_view, 6> names{"DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "FATAL"};

}  // namespace

Result<void> open_log(const std::string& file, Severity severity) {
  configured = severity;
  threshold = severity;
  if (file.empty()) return {};
  auto sink = std::make_shared<RotatedFileSink>(file);
  if (!sink->open()) return Error{fmt::format("--logfile: cannot open {}: {}", file, std::strerror(errno))};
  file_sink = sink;
  logger().sinks() = {sink};
  logger().set_pattern("%Y-%m-%d %H:%M:%S - %v");
  return {};
}

void reopen_log() {
  if (file_sink) file_sink->reopen();
}

void log_from_signal(Severity severity, std::string_view text) {
  std::array<char, 300> line{};
  const auto now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  auto size = std::strftime(line.data(), line.size(), "%Y-%m-%d %H:%M:%S - ", &local);
  for (const auto part : {names[static_cast<std::size_t>(severity)], std::string_view(" - [core] "), text, std::string_view("\n")})
    size += part.copy(line.data() + size, line.size() - size);
  if (::write(descriptor, line.data(), size) < 0) return;
}

void flush_log() { logger().flush(); }

std::optional<Severity> severity_of(std::string_view name) {
  if (name == "debug" || name == "trace") return Severity::debug;
  if (name == "info") return Severity::info;
  if (name == "notice") return Severity::notice;
  if (name == "warning") return Severity::warning;
  if (name == "error") return Severity::error;
  if (name == "fatal" || name == "critical") return Severity::fatal;
  return {};
}

void set_severity(Severity severity) { threshold = severity; }
Severity configured_severity() { return configured; }

bool Log::enabled(Severity severity) { return severity >= threshold.load(std::memory_order_relaxed); }

void Log::write(Severity severity, std::string_view text) const {
  // Whatever a peer's words are in it, a line stays one line, of its own writer.
  logger().log(spdlog::level::info, "{} - [{}] {}", names[static_cast<std::size_t>(severity)], printable(name_), printable(text, line_max));
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  const bool cut = text.size() > limit;
  // Not inside of a character, which would make the rest look like another encoding.
  for (int i = 0; cut && i < 3 && limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80; ++i) --limit;
  const std::string whole = to_utf8(text.substr(0, limit));
  for (char c : whole) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  if (cut) out += fmt::format("… ({} bytes)", text.size());
  return out;
}

}  // namespace gorgone
