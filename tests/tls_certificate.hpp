#pragma once
// A self-signed certificate and its encrypted key, in files that go with the object.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <filesystem>
#include <memory>
#include <string>

namespace gorgone::test {

class Certificate {
 public:
  Certificate() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gorgone-test-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    certificate_file = (folder_ / "cert.pem").string();
    key_file = (folder_ / "key.pem").string();

    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    auto* name = X509_get_subject_name(certificate.get());
    const unsigned char host[] = "test";
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    X509_sign(certificate.get(), key.get(), EVP_sha256());

    char passphrase[] = "open sesame";
    auto* file = std::fopen(certificate_file.c_str(), "wb");
    PEM_write_X509(file, certificate.get());
    std::fclose(file);
    file = std::fopen(key_file.c_str(), "wb");
    PEM_write_PrivateKey(file, key.get(), EVP_aes_256_cbc(), nullptr, 0, nullptr, passphrase);
    std::fclose(file);
  }
  ~Certificate() { std::filesystem::remove_all(folder_); }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  std::string certificate_file, key_file;

 private:
  std::filesystem::path folder_;
};

}  // namespace gorgone::test
