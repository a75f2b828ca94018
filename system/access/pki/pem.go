package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxPEM bounds every file of this package: a dozen certificates.
const maxPEM = 64 << 10

const (
	blockCert    = "CERTIFICATE"
	blockKey     = "PRIVATE KEY"
	blockRequest = "CERTIFICATE REQUEST"
)

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: cert.Raw})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}), nil
}

// identityPEM is the content of an identity file: key, then certificate, then what belongs to its chain.
func identityPEM(key *ecdsa.PrivateKey, chain []byte) ([]byte, error) {
	b, err := keyPEM(key)
	return append(b, chain...), err
}

func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	block, rest := pem.Decode(b)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it holds no key in PEM, and nothing else")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it holds no key in PKCS #8") // the library's error may quote
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it holds a %T: keys are ECDSA here", key)
	}
	return ec, nil
}

// parseCerts reads every certificate of a PEM text. Keys are passed over.
func parseCerts(b []byte) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != blockCert {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a certificate: %w", err)
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return list, nil
}

// readBundle reads a file of certificates, which everybody may read.
func readBundle(path string) ([]*x509.Certificate, error) {
	b, err := readPublic(path)
	if err != nil {
		return nil, fmt.Errorf("%w: make a CA with metronome pki ca", err)
	}
	certs, err := parseCerts(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs, nil
}

func readPublic(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM))
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	return b, nil
}

// NewRequest makes a key, and a request to sign it: key and request in PEM. The key stays where it was made.
func NewRequest() (key, request []byte, err error) {
	k, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate request: %w", err)
	}
	key, err = keyPEM(k)
	return key, pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: der}), err
}

// parseRequest reads a request and checks that its maker has the key.
func parseRequest(b []byte) (*x509.CertificateRequest, error) {
	if len(b) > maxPEM {
		return nil, errors.New("the certificate request is too long")
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != blockRequest {
		return nil, errors.New("no certificate request in PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate request: %w", err)
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the certificate request's key must be ECDSA on P-256")
	}
	return csr, nil
}

// isHost reports whether s could be a host's name in a certificate.
func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if checkLabel("", strings.ToLower(label), "-") != nil || strings.Trim(label, "-") != label {
			return false
		}
	}
	return true
}
