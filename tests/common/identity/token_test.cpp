#include "common/identity/token.h"

#include "common/base/random.h"
#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::identity {
namespace {

Token RandomToken(const std::string& address = "coordinator.example.org:8443") {
  Token token;
  SystemRandom random;
  random.Fill(token.secret);
  random.Fill(token.authority.bytes);
  random.Fill(token.root);
  token.address = address;
  return token;
}

TEST_CASE("A token carries its secret, the authority, the root key and the address in one word") {
  for (const char* address : {"coordinator.example.org:8443", "127.0.0.1:1", "[2001:db8::7]:443"}) {
    const Token token = RandomToken(address);
    const std::string text = token.ToString();
    CHECK(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789-_") == std::string::npos);
    const auto parsed = Token::Parse(text);
    REQUIRE(parsed.ok());
    CHECK(parsed->secret == token.secret);
    CHECK(parsed->authority == token.authority);
    CHECK(parsed->root == token.root);
    CHECK(parsed->address == address);
  }
}

TEST_CASE("What is no token is refused without being repeated") {
  const std::string text = RandomToken().ToString();
  for (const std::string& wrong : {std::string(), std::string("hello"), text + "=", text + " ",
                                   "*" + text.substr(1), text.substr(0, 20), text.substr(0, 108),
                                   std::string(100'000, 'A'), std::string(120, '_')}) {
    const auto parsed = Token::Parse(wrong);
    CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    if (wrong.size() > 10) CHECK_FALSE(Says(parsed.status(), wrong.substr(0, 10)));
  }
}

TEST_CASE("A token with an address that nobody can dial is refused") {
  for (const std::string& address :
       {std::string(), std::string("host"), std::string("host:0"), std::string("host:99999"),
        std::string("ho st:80"), std::string("host\n:80"), std::string("h\xc3\xb6st:80"),
        std::string(300, 'a') + ":80"}) {
    INFO(address);
    CHECK_FALSE(Token::Parse(RandomToken(address).ToString()).ok());
  }
}

TEST_CASE("A token of another version says so") {
  Bytes old{1};
  old.resize(1 + 16 + 32);
  const auto parsed = Token::Parse(ToBase64Url(old));
  CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(Says(parsed.status(), "version 1"));
}

TEST_CASE("What a new member signs differs with token, request, role and key") {
  const crypto::Ed25519PublicKey one{1}, two{2};
  const Bytes text = EnrolmentText("token", "request", Role::kSite, one);
  CHECK(text == EnrolmentText("token", "request", Role::kSite, one));
  CHECK(text != EnrolmentText("tokem", "request", Role::kSite, one));
  CHECK(text != EnrolmentText("token", "requesu", Role::kSite, one));
  CHECK(text != EnrolmentText("tokenr", "equest", Role::kSite, one));
  CHECK(text != EnrolmentText("token", "request", Role::kResearcher, one));
  CHECK(text != EnrolmentText("token", "request", Role::kSite, two));
}

}  // namespace
}  // namespace consilium::identity
