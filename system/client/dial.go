package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"
)

const readBuffer = 64 << 10

// dial connects to one proxy and says who we are.
func (c *Client) dial(address string) (*link, error) {
	ctx, cancel := context.WithTimeout(c.life, c.config.DialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if c.config.TLS != nil {
		conn = tls.Client(conn, c.tlsConfig(address))
	}
	stop := context.AfterFunc(c.life, func() { _ = conn.Close() })
	defer stop()
	r := bufio.NewReaderSize(conn, readBuffer)
	if err := c.greet(conn, r); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newLink(conn, r, c.gate), nil
}

func (c *Client) tlsConfig(address string) *tls.Config {
	if c.config.TLS.ServerName != "" {
		return c.config.TLS
	}
	config := c.config.TLS.Clone()
	config.ServerName, _, _ = net.SplitHostPort(address)
	return config
}

// greet makes sure that a proxy is there, authenticates and sets the connection up.
func (c *Client) greet(conn net.Conn, r *bufio.Reader) error {
	_ = conn.SetDeadline(time.Now().Add(c.config.DialTimeout))
	hello := newCommand("$5\r\nHELLO\r\n").key("2")
	if c.config.Password != "" {
		hello.key("AUTH").key(c.config.User).key(c.config.Password)
	}
	greetings := []*command{hello}
	if c.config.BarrierReads {
		greetings = append(greetings, newCommand("$8\r\nMT.READS\r\n").key("BARRIER"))
	}
	for _, g := range greetings {
		if err := exchange(conn, r, g); err != nil {
			return err
		}
	}
	return conn.SetDeadline(time.Time{})
}

func exchange(conn net.Conn, r *bufio.Reader, cmd *command) error {
	if _, err := conn.Write(cmd.appendTo(nil)); err != nil {
		return err
	}
	answer, err := readReply(r, 0)
	if err != nil {
		return err
	}
	return answer.fault()
}
