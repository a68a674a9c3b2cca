#pragma once
// A cluster of real nats-servers: tests/system/nats.py as a program, which ends with us.

#include <gorgone/json.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

namespace gorgone::mcollective::test {

class NatsCluster {
 public:
  explicit NatsCluster(int servers) {
    auto pattern = (std::filesystem::temp_directory_path() / "gorgone-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no directory " + pattern);
    directory_ = pattern;
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0) throw std::runtime_error("no pipe");
    const auto command = "exec /usr/bin/python3 " GORGONE_TESTS "/system/nats.py " + directory_.string() + " " + std::to_string(servers) +
                         " 2>" + directory_.string() + "/errors";
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (const int fd : {to[0], to[1], from[0], from[1]}) close(fd);
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "w");
    from_ = fdopen(from[0], "r");
    const auto about = answer();
    for (const auto& url : about.at("urls").as_array()) urls_ += (urls_.empty() ? "" : ", ") + std::string(url.as_string());
  }
  NatsCluster(const NatsCluster&) = delete;
  ~NatsCluster() {
    std::fclose(to_);
    std::fclose(from_);
    int status = 0;
    waitpid(pid_, &status, 0);
    if (status == 0 && !is_kept)
      std::filesystem::remove_all(directory_);
    else
      std::cerr << "kept: " << directory_.string() << "\n";
  }

  /// "kill 0", "start 0", "stop", "start", "freeze 1", "thaw 1", "ask SUBJECT JSON".
  json::value tell(const std::string& line) {
    std::fputs((line + "\n").c_str(), to_);
    std::fflush(to_);
    return answer();
  }
  /// Messages in a stream; -1 where there is none.
  int messages(const std::string& stream) {
    const auto answer = tell("ask $JS.API.STREAM.INFO." + stream);
    const auto* state = member(answer, "state");
    return state ? static_cast<int>(integer_of(member(*state, "messages")).value_or(-1)) : -1;
  }
  /// The option `backbone` and what goes with it.
  std::string yaml(const std::string& prefix) const { return "backbone: [" + urls_ + "]\nbackbone_prefix: " + prefix + "\n"; }

  bool is_kept = false;

 private:
  json::value answer() {
    std::string line;
    for (int c = std::fgetc(from_); c != EOF && c != '\n'; c = std::fgetc(from_)) line += static_cast<char>(c);
    auto parsed = parse_json(line);
    if (!parsed) throw std::runtime_error("nats.py failed, see " + directory_.string() + "/errors");
    return *parsed;
  }

  std::filesystem::path directory_;
  std::string urls_;
  pid_t pid_ = 0;
  std::FILE *to_ = nullptr, *from_ = nullptr;
};

}  // namespace gorgone::mcollective::test
