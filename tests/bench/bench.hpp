#pragma once
// The measurements behind bench.py. Each prints one line of JSON.

#include "tests/bench/session.hpp"

namespace bench {

/// Messages under way at once where a client pipelines.
inline constexpr int window = 500;

/// Pings answered in a second, `window` of them under way.
double pipeline_pings(Session& session, int count);
/// Seconds that each ping took, one every `pace`, from the moment it was due: a late one does not excuse those behind it.
std::vector<double> ping_times(Session& session, int count, std::chrono::microseconds pace);

/// The key of the raw echo, which both sides know.
gorgone::wire::SessionCipher known_cipher();

void raw_echo(int count);
/// Prints its endpoint and serves sealed echoes until it is killed.
void raw_server();
/// A client of it: tells when it has had one echo, and stays connected until standard input ends.
void raw_client(const std::string& endpoint);
void raw_spawn(int count, int at_once);
void raw_rsa(int count);

void pings(const std::string& endpoint, const std::string& key_file, int count);
/// Pings until standard input ends; the raw echo where there is no key file.
void live_pings(const std::string& endpoint, const std::string& key_file, std::chrono::microseconds pace);
/// COMMANDs sent at once, then their ends awaited by GETLOG.
void commands(const std::string& endpoint, const std::string& key_file, int count);
/// GETLOGs of the whole history, one after the other.
void whole_log(const std::string& endpoint, const std::string& key_file, int count);
/// Handshakes that are refused, over `sockets` connections, each with the next as soon as the last was answered. With `key_file`
/// they bear its public key, which the listener knows, so that it has to decrypt; without, a key of their own.
void strangers(const std::string& endpoint, int count, int sockets, const std::string& key_file);
/// Frames of random bytes; ends when the listener answers a stranger's question again.
void noise(const std::string& endpoint, int frames, std::size_t size);

}  // namespace bench
