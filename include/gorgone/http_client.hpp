#pragma once
// One HTTP request over a connection that is there (web_stream.hpp), and its answer. On the loop.

#include <gorgone/web_stream.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace gorgone {

struct HttpRequest {
  bool is_post = false;
  std::string target = "/";
  std::map<std::string, std::string> headers;  ///< Host among them
  std::string body;
  std::chrono::milliseconds limit{5000};  ///< for the whole answer
  std::uint64_t answer_max = std::uint64_t{1} << 20;
};

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
};

/// Sends it and waits for the answer; the connection is of no use afterwards. An Error says "no answer …".
GORGONE_API asio::awaitable<Result<HttpAnswer>> http_exchange(WebStream& stream, HttpRequest request);

}  // namespace gorgone
