package logserver

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the figures of one log, in a registry of their own.
type metrics struct {
	registry        *prometheus.Registry
	appended        prometheus.Counter
	rejected        *prometheus.CounterVec // by error code
	sequenceSeconds prometheus.Histogram
	publishSeconds  prometheus.Histogram
	mergeDelay      prometheus.Histogram
}

func newMetrics(l *Log) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		appended: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chiolog_receipts_appended_total", Help: "Receipts that took a new leaf since the start."}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chiolog_receipts_rejected_total", Help: "Submitted receipts that were refused, by error code."}, []string{"code"}),
		sequenceSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chiolog_sequence_seconds", Help: "Time from queueing a receipt to its durable place in the tree.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chiolog_publish_seconds", Help: "Time of one publication, from the tree's root to the public checkpoint.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
	}
	m.mergeDelay = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "chiolog_merge_delay_seconds", Help: "Age of the oldest receipt of a checkpoint, from queueing it to publication.",
		Buckets: prometheus.ExponentialBuckets(0.01, 2, 14)})
	counter := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
	counter("chiolog_passes_total", "Passes that integrated leaves since the start.", func() float64 {
		count, _ := l.cfg.Tree.Passes()
		return float64(count)
	})
	counter("chiolog_pass_seconds_total", "Time spent in passes since the start.", func() float64 {
		_, took := l.cfg.Tree.Passes()
		return took.Seconds()
	})
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("chiolog_tree_size", "Leaves in the tree.", func() float64 {
		size, _ := l.cfg.Tree.Head()
		return float64(size)
	})
	gauge("chiolog_published_size", "Leaves under the published checkpoint.", func() float64 {
		if v := l.view.Load(); v != nil {
			return float64(v.size)
		}
		return 0
	})
	gauge("chiolog_unpublished_leaves", "Leaves in the tree that no published checkpoint covers.", func() float64 {
		size, _ := l.cfg.Tree.Head()
		if v := l.view.Load(); v != nil {
			return float64(size) - float64(v.size)
		}
		return float64(size)
	})
	gauge("chiolog_ready", "1 while the log appends and publishes.", func() float64 {
		if l.Ready() == nil {
			return 1
		}
		return 0
	})
	m.registry.MustRegister(m.appended, m.rejected, m.sequenceSeconds, m.publishSeconds, m.mergeDelay)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
