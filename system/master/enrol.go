package master

import (
	"encoding/hex"
	"net/http"
	"strings"

	"metronome/system/access/join"
	"metronome/system/access/pki"
	"metronome/system/master/api"
)

// maxJoin bounds the body of who has no certificate yet.
const maxJoin = 16 << 10

// join makes an edge of who brings a token. It is the only route that knows nobody.
func (m *Master) join(w http.ResponseWriter, r *http.Request) error {
	var req api.JoinRequest
	if err := readJSON(w, r, maxJoin, &req); err != nil {
		return err
	}
	secret, err := hex.DecodeString(req.Secret)
	if err != nil || len(secret) != join.SecretBytes {
		return api.NewProblem("invalid-body", "The secret of a join token is hexadecimal.")
	}
	digest, err := pki.KeyDigest([]byte(req.Request))
	if err != nil {
		return api.NewProblem("invalid-body", "The certificate request is not understood: "+err.Error())
	}
	if m.cfg.Authority == nil {
		return api.NewProblem("token-refused", "This master was started without the CA's key, and admits nobody.")
	}
	tokens := TokensIn(m.cfg.Dir)
	tokens.Now = m.cfg.Now
	who, err := tokens.Redeem([join.SecretBytes]byte(secret), digest)
	if err != nil {
		m.cfg.Log.Warn("a join token was refused", "from", r.RemoteAddr, "error", err)
		return err
	}
	b, err := m.admitted(who)
	if err != nil {
		return err
	}
	certificate, err := m.sign(b, req.Request)
	if err != nil {
		return err
	}
	b.heard()
	b.mu.Lock()
	key := b.record.Key
	b.mu.Unlock()
	m.cfg.Log.Info("an edge joined", "edge", b.name, "from", r.RemoteAddr)
	out := api.JoinReply{Edge: b.name, Home: m.cfg.Authority.Home(), Certificate: certificate, BackupKey: key}
	if v, err := b.storage(r.Context()); err == nil { // that storage fails is no reason to keep an edge out
		_, out.Restorable = v.Newest()
	}
	return reply(w, http.StatusOK, out)
}

// admitted is the edge of a token's subject, as its record is now.
func (m *Master) admitted(who string) (*member, error) {
	name, ok := strings.CutPrefix(who, string(pki.Edge)+"/")
	if !ok {
		return nil, api.NewProblem("token-refused", "The token admits "+who+", which is no edge.")
	}
	r, err := m.registry.Read(name)
	if err != nil {
		return nil, err
	}
	b := m.take(r)
	if b.revoked() {
		return nil, api.NewProblem("revoked", "Edge "+name+" was revoked.")
	}
	return b, nil
}

func (m *Master) sign(b *member, request string) (string, error) {
	chain, err := m.cfg.Authority.Sign([]byte(request), b.leaf(), m.cfg.Now())
	if err != nil {
		return "", api.NewProblem("invalid-body", "The request cannot be signed: "+err.Error())
	}
	return string(chain), nil
}

// renew gives an edge a certificate for a new key. An expired certificate is good for this alone.
func (m *Master) renew(w http.ResponseWriter, r *http.Request) error {
	b, peer, err := m.who(r)
	if err != nil {
		return err
	}
	var req api.RenewRequest
	if err := readJSON(w, r, maxJoin, &req); err != nil {
		return err
	}
	if m.cfg.Authority == nil {
		return api.NewProblem("forbidden", "This master was started without the CA's key, and signs nothing.")
	}
	certificate, err := m.sign(b, req.Request)
	if err != nil {
		return err
	}
	b.heard()
	m.cfg.Log.Info("a certificate was renewed", "edge", b.name, "had_expired", peer.Expired)
	return reply(w, http.StatusOK, api.RenewReply{Certificate: certificate})
}
