package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"metronome/system/client"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addresses: []string{"127.0.0.1:6379", "127.0.0.1:6380"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Put(ctx, "greeting", []byte("hello")); client.MayHaveHappened(err) {
		log.Fatal("perhaps written: ", err)
	} else if err != nil {
		log.Fatal("not written: ", err)
	}
	e, err := c.Get(ctx, "greeting")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, written at index %d\n", e.Value, e.Revision)
}

// A counter that counts every event once, whatever breaks on the way.
func ExampleClient_OpenSession() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addresses: []string{"127.0.0.1:6379", "127.0.0.1:6380"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := c.OpenSession(ctx)
	if err != nil {
		log.Fatal(err)
	}
	n, err := s.Incr(ctx, "events", 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
}

// Read, change, write back unless somebody else was faster.
func ExampleWrites_CAS() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Addresses: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for {
		e, err := c.Get(ctx, "document")
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			log.Fatal(err)
		}
		_, err = c.CAS(ctx, "document", e.Revision, append(e.Value, " and more"...))
		if errors.Is(err, client.ErrMismatch) {
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		return
	}
}

func ExampleClient_Scan() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Addresses: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for e, err := range c.Scan(ctx, client.Range{Prefix: "users/"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s = %s\n", e.Key, e.Value)
	}
}

func ExampleClient_Pipeline() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Addresses: []string{"127.0.0.1:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p := c.Pipeline()
	p.Put("a", []byte("1"))
	sum := p.Incr("a", 41)
	if err := p.Exec(ctx); err != nil {
		log.Fatal(err)
	}
	n, err := sum.Result()
	fmt.Println(n, err)
}
