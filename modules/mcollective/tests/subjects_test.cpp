#include "subjects.hpp"

#include <catch2/catch.hpp>

#include "envelope.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;

TEST_CASE("a topic's words are tokens that an operator can read") {
  CHECK(subject_of("mcollective rpcutil") == "mcollective.rpcutil");
  CHECK(subject_of("mcollective nodes web1.example.org") == "mcollective.nodes.web1=2Eexample=2Eorg");
  CHECK(subject_of("mcollective reply web1 4711") == "mcollective.reply.web1.4711");
  CHECK(subject_of("a * b>") == "a.=2A.b=3E");
  CHECK(subject_of("a  b ") == "a.=.b.=");
  CHECK(subject_of("") == "=");
}

TEST_CASE("each topic comes back from its subject, whatever bytes it holds") {
  std::string every_byte;
  for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  for (const std::string& topic : {std::string("mcollective nodes a.b"), std::string(), std::string(" "), std::string("  x  "), every_byte,
                                   std::string("=2E"), std::string("\0", 1), std::string("Grüße aus *.>")}) {
    CAPTURE(topic);
    const auto subject = subject_of(topic);
    CHECK(subject.find_first_of(" *>\t\r\n") == std::string::npos);
    CHECK(topic_of(subject) == topic);
  }
}

TEST_CASE("what is no topic's subject gives none") {
  for (const char* subject : {"", ".", "a.", ".a", "a..b", "=4", "=zz", "a=2e", "a=41", "a=20b", "a*", "a b", "=2E="}) {
    CAPTURE(subject);
    CHECK_FALSE(topic_of(subject));
  }
}

TEST_CASE("patterns give streams with names of their own") {
  CHECK(stream_name_of("mcollective", "mcollective reply *") == "mcollective_mcollective_reply_=2A");
  CHECK(stream_name_of("m", "a b") != stream_name_of("m", "a_b"));
}

TEST_CASE("what lies in an envelope and is no message for clients is told as broken") {
  for (const auto& frames : {Frames{}, Frames{""}, Frames{"", "OK", "ID", "1"}, Frames{"MESSAGE", "TOPIC", "t"}, Frames{"x", "MESSAGE"}}) {
    const Envelope envelope{0, {}, std::make_shared<const Frames>(frames)};
    CHECK(unseal(seal(envelope)).has_error());
  }
}

TEST_CASE("a message comes out of its envelope frame by frame, and a broken one is told") {
  const Envelope envelope{1764000000, "id-1", std::make_shared<const Frames>(Frames{"", "MESSAGE", std::string("\0\xff", 2), "", ""})};
  const auto bytes = seal(envelope);
  CHECK(bytes.size() == sealed_bytes(envelope));
  const auto back = unseal(bytes);
  REQUIRE(back.has_value());
  CHECK(back->time_s == envelope.time_s);
  CHECK(back->id == "id-1");
  CHECK(*back->frames == *envelope.frames);
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(unseal(bytes.substr(0, size)).has_error());
  CHECK(unseal(bytes + "x").has_error());
  CHECK(unseal("MQ\x02" + bytes.substr(3)).has_error());
  // A count that nothing can hold takes no memory.
  auto huge = bytes;
  huge.replace(3 + 8 + 4 + 4, 4, "\xff\xff\xff\xff");
  CHECK(unseal(huge).has_error());
}
