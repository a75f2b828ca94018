package pki

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"
)

// Info is what there is to see of a certificate in a file. It holds no key.
type Info struct {
	File        string    `json:"file"`
	Identity    string    `json:"identity"`
	State       State     `json:"state"`
	DaysLeft    float64   `json:"days_left"`
	NotBefore   time.Time `json:"not_before"`
	RenewAt     time.Time `json:"renew_at"`
	NotAfter    time.Time `json:"not_after"`
	Hosts       []string  `json:"hosts"`
	Fingerprint string    `json:"sha256"`
}

// Describe lists the certificates of a file, whoever issued them.
func Describe(path string, now time.Time) (list []Info, err error) {
	b, err := readPublic(path)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, c := range certs {
		list = append(list, describe(path, c, now))
	}
	return list, nil
}

func describe(path string, c *x509.Certificate, now time.Time) Info {
	sum := Fingerprint(c)
	i := Info{File: path, Identity: c.Subject.CommonName, State: stateAt(c.NotBefore, c.NotAfter, now),
		DaysLeft: days(c.NotAfter.Sub(now)), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		RenewAt: renewAt(c.NotBefore, c.NotAfter), Hosts: append([]string{}, c.DNSNames...),
		Fingerprint: hex.EncodeToString(sum[:])}
	if len(c.URIs) > 0 {
		i.Identity = c.URIs[0].String()
	}
	for _, ip := range c.IPAddresses {
		i.Hosts = append(i.Hosts, ip.String())
	}
	return i
}
