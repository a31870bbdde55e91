package trillianlog

import "github.com/google/trillian/monitoring"

// noMetrics makes metrics that count nothing. Trillian's own inert ones join
// label strings and lock a map for every leaf.
type noMetrics struct{}

type noMetric struct{}

func (noMetrics) NewCounter(string, string, ...string) monitoring.Counter     { return noMetric{} }
func (noMetrics) NewGauge(string, string, ...string) monitoring.Gauge         { return noMetric{} }
func (noMetrics) NewHistogram(string, string, ...string) monitoring.Histogram { return noMetric{} }
func (noMetrics) NewHistogramWithBuckets(string, string, []float64, ...string) monitoring.Histogram {
	return noMetric{}
}

func (noMetric) Inc(...string)                    {}
func (noMetric) Dec(...string)                    {}
func (noMetric) Add(float64, ...string)           {}
func (noMetric) Set(float64, ...string)           {}
func (noMetric) Observe(float64, ...string)       {}
func (noMetric) Value(...string) float64          { return 0 }
func (noMetric) Info(...string) (uint64, float64) { return 0, 0 }
