package bundle

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/jcs"
)

// A Verdict is what a verification came to. Its value is the exit status of
// the command that prints it, but for Suspect, which is 1 as well.
type Verdict int

// The verdicts.
const (
	Verified     Verdict = iota // everything holds
	NotVerified                 // something does not
	CouldNotTell                // something that is needed is missing or too old
	Suspect                     // everything holds, but the signer's key was later found compromised
)

func (v Verdict) String() string {
	return [...]string{"verified", "not verified", "could not tell", "suspect"}[v]
}

// ExitStatus returns 0 for verified, 2 for could not tell, 1 otherwise.
func (v Verdict) ExitStatus() int {
	return [...]int{0, 1, 2, 1}[v]
}

// A Class says which check a file failed (KEYS §7).
type Class string

// The classes, in the order of the rules. A failing file has the first.
const (
	ClassLimits             Class = "limits"
	ClassPolicy             Class = "policy"
	ClassOrigin             Class = "origin"
	ClassSignature          Class = "signature"
	ClassQuorum             Class = "quorum"
	ClassNoStatus           Class = "no-status"
	ClassStatus             Class = "status"
	ClassTimelineIncomplete Class = "timeline-incomplete"
	ClassKeyEvent           Class = "key-event"
	ClassPin                Class = "pin"
	ClassSignerOutOfRange   Class = "signer-out-of-range"
	ClassInclusion          Class = "inclusion"
	ClassReceipt            Class = "receipt"
	ClassParameterHash      Class = "parameter-hash"
	ClassReserved           Class = "reserved"
	ClassWriteRange         Class = "write-range"
	ClassWriter             Class = "writer"
	ClassNoReceipt          Class = "no-receipt"
	ClassStale              Class = "stale"
)

// A Failure says which check failed, by its class and the number of the rule.
type Failure struct {
	Class Class
	Rule  string // "V-1" … "V-8"
	Err   error
}

func (f *Failure) Error() string { return fmt.Sprintf("%s (%s): %v", f.Class, f.Rule, f.Err) }

func (f *Failure) Unwrap() error { return f.Err }

// Options are the inputs of Verify beside the bundle.
type Options struct {
	Policy  *policy.Policy
	Receipt []byte // the receipt, if it lies beside the bundle
	Now     uint64 // Unix seconds; used only with MaxAge
	MaxAge  uint64 // seconds; 0 for no limit
}

// A Result is a verdict with what it is about. Members are set as far as the
// verification came.
type Result struct {
	Verdict  Verdict
	Failure  *Failure // nil if verified or suspect
	Warnings []string

	Origin  string
	Size    uint64 // of the checkpoint
	Root    [32]byte
	Index   uint64           // of the receipt
	Receipt *receipt.Receipt // once known to be in the log
	Active  chio.Key         // the key that signs at Size
	AsOf    uint64           // Unix seconds; 0 until V-6 holds
	Status  *timeline.Status // of the bundle, once read
}

// maxSkew is how far in the future, in seconds, a bundle's time may lie for a
// caller who asks for freshness.
const maxSkew = 300

// Verify judges a bundle by V-1 to V-8, in this order (KEYS §7).
func Verify(data []byte, o Options) *Result {
	v := &verification{Options: o, data: data, result: &Result{Verdict: NotVerified}}
	for _, step := range []func() *Failure{
		v.limits, v.checkpoint, v.status, v.events, v.pin, v.signers, v.receipt, v.freshness,
	} {
		if f := step(); f != nil {
			v.result.Failure = f
			if couldNotTell[f.Class] || errors.Is(f.Err, chio.ErrHybrid) {
				v.result.Verdict = CouldNotTell
			}
			return v.result
		}
	}
	v.result.Verdict = Verified
	if v.suspect {
		v.result.Verdict = Suspect
	}
	return v.result
}

var couldNotTell = map[Class]bool{ClassNoStatus: true, ClassNoReceipt: true, ClassStale: true}

// A verification is the state of one Verify.
type verification struct {
	Options
	data       []byte
	proof      *Proof
	extra      *Extra
	note       checkpoint.Note
	head       checkpoint.Checkpoint
	cosigned   *policy.Verified // by V-2
	statusLeaf *timeline.LogEntry
	timeline   *timeline.Timeline
	suspect    bool
	result     *Result
}

// limits is V-1.
func (v *verification) limits() *Failure {
	fail := func(err error) *Failure { return &Failure{ClassLimits, "V-1", err} }
	if v.Policy == nil {
		return &Failure{ClassPolicy, "V-1", errors.New("no policy given")}
	}
	if len(v.data) > MaxBundle {
		return fail(fmt.Errorf("bundle of %d bytes, the limit is %d", len(v.data), MaxBundle))
	}
	var err error
	if v.proof, err = ParseProof(v.data); err != nil {
		return fail(err)
	}
	v.extra = &Extra{}
	if v.proof.Extra != nil {
		if v.extra, err = ParseExtra(v.proof.Extra); err != nil {
			return fail(fmt.Errorf("extra: %w", err))
		}
	}
	if v.note, err = checkpoint.ParseNote(v.proof.Checkpoint); err != nil {
		return fail(err)
	}
	if v.head, err = checkpoint.Parse(v.note.Text); err != nil {
		return fail(err)
	}
	v.result.Origin, v.result.Size, v.result.Root, v.result.Index = v.head.Origin, v.head.Size, v.head.Root, v.proof.Index
	return nil
}

// checkpoint is V-2.
func (v *verification) checkpoint() *Failure {
	verified, err := v.Policy.VerifyCosigned(v.note)
	if err == nil {
		v.cosigned = verified
		return nil
	}
	class := ClassSignature
	var quorum *policy.QuorumError
	switch {
	case errors.Is(err, policy.ErrOrigin):
		class = ClassOrigin
	case errors.As(err, &quorum):
		class = ClassQuorum
	}
	return &Failure{class, "V-2", err}
}

// status is V-3.
func (v *verification) status() *Failure {
	s := v.extra.Status
	if s == nil {
		return &Failure{ClassNoStatus, "V-3", errors.New("the file has no status: nothing tells which key signs at this size; ask the log for a status file")}
	}
	fail := func(err error) *Failure {
		return &Failure{ClassStatus, "V-3", fmt.Errorf("status at index %d: %w", s.Index, err)}
	}
	if err := v.included(s); err != nil {
		return fail(err)
	}
	entry, err := timeline.ParseLogEntry(s.Leaf)
	if err != nil {
		return fail(err)
	}
	v.statusLeaf = entry
	if v.result.Status, err = timeline.ParseStatus(entry, v.head.Origin); err != nil {
		return fail(err)
	}
	return nil
}

// included checks that a leaf of the extra lies in the checkpoint's tree.
func (v *verification) included(l *Leaf) error {
	return checkpoint.VerifyInclusion(checkpoint.LeafHash(l.Leaf), l.Index, v.head.Size, l.Path, v.head.Root)
}

// events is V-4: counts, indices and inclusion first, then the replay.
func (v *verification) events() *Failure {
	incomplete := func(err error) *Failure { return &Failure{ClassTimelineIncomplete, "V-4", err} }
	events, want := v.extra.Events, v.result.Status.KeyEvents
	if uint64(len(events)) != want.Count {
		return incomplete(fmt.Errorf("%d key events, the status counts %d", len(events), want.Count))
	}
	for i := range events {
		e := &events[i]
		switch {
		case i == 0 && e.Index != 0:
			return incomplete(fmt.Errorf("the first key event is at index %d, not 0", e.Index))
		case i > 0 && e.Index <= events[i-1].Index:
			return incomplete(fmt.Errorf("key event %d is at index %d, the one before at %d", i, e.Index, events[i-1].Index))
		case e.Index >= v.extra.Status.Index:
			return incomplete(fmt.Errorf("key event %d is at index %d, the status at %d", i, e.Index, v.extra.Status.Index))
		}
		if err := v.included(e); err != nil {
			return incomplete(fmt.Errorf("key event %d: %w", i, err))
		}
	}
	witnesses := make([]chio.Key, 0, len(v.Policy.Witnesses))
	for _, w := range v.Policy.Witnesses {
		if key, ok := w.Key.ChioKey(); ok {
			witnesses = append(witnesses, key)
		}
	}
	v.timeline = timeline.New(v.head.Origin, witnesses...)
	for i, e := range events {
		entry, err := timeline.ParseLogEntry(e.Leaf)
		if err != nil {
			return &Failure{ClassKeyEvent, "V-4", &timeline.EventError{Rule: "K-2", Sequence: uint64(i), Err: err}}
		}
		if err := v.timeline.Apply(e.Index, entry); err != nil {
			return &Failure{ClassKeyEvent, "V-4", err}
		}
	}
	if v.timeline.Head() != want.Head {
		return incomplete(fmt.Errorf("the last key event hashes to %s, the status says %s", v.timeline.Head().Hash, want.Head.Hash))
	}
	return nil
}

// pin is V-5.
func (v *verification) pin() *Failure {
	for _, l := range v.Policy.Logs {
		key, ok := l.Key.ChioKey()
		if !ok || l.Origin() != v.head.Origin {
			continue
		}
		if _, ok := v.timeline.Key(key); ok {
			if v.Policy.NoWitnesses() {
				v.warn("the policy asks for no witnesses: whoever holds the pinned key, even after it is retired, can show this verifier a history of his own")
			}
			return nil
		}
	}
	return &Failure{ClassPin, "V-5", fmt.Errorf("no key that the policy pins for %q is in its key timeline", v.head.Origin)}
}

func (v *verification) warn(text string) { v.result.Warnings = append(v.result.Warnings, text) }

// signers is V-6.
func (v *verification) signers() *Failure {
	fail := func(err error) *Failure { return &Failure{ClassSignerOutOfRange, "V-6", err} }
	active, ok := v.timeline.Active(v.head.Size)
	if !ok {
		return fail(fmt.Errorf("no key is active at size %d", v.head.Size))
	}
	signed, err := v.signedBy(active)
	if err != nil {
		return fail(err)
	}
	if !signed {
		return fail(fmt.Errorf("the checkpoint of size %d has no signature by the key active there, %s", v.head.Size, active.Text()))
	}
	position := v.extra.Status.Index + 1
	if signer, ok := v.timeline.Active(position); !ok || !signer.Equal(v.statusLeaf.Key) {
		return fail(fmt.Errorf("the status at position %d is signed by %s, not by the key active there", position, v.statusLeaf.Key.Text()))
	}
	v.result.Active = active
	v.result.AsOf = v.result.Status.IssuedAt
	if !v.Policy.NoWitnesses() {
		v.result.AsOf = min(v.result.AsOf, v.cosigned.QuorumTime)
	}
	return nil
}

// entry returns the canonical bytes of the receipt, from the bundle or beside
// it.
func (v *verification) entry() ([]byte, *Failure) {
	inside := []byte(v.extra.Receipt)
	if v.Receipt == nil {
		if inside == nil {
			return nil, &Failure{ClassNoReceipt, "V-7", errors.New("the bundle has no receipt and none was given beside it")}
		}
		return inside, nil
	}
	given, err := jcs.Canonical(v.Receipt)
	if err != nil {
		return nil, &Failure{ClassReceipt, "V-7", fmt.Errorf("the receipt given beside the bundle: %w", err)}
	}
	if inside != nil && !bytes.Equal(given, inside) {
		return nil, &Failure{ClassReceipt, "V-7", errors.New("the receipt given beside the bundle is not the one in it")}
	}
	return given, nil
}

// signedBy reports whether the checkpoint has a line by key.
func (v *verification) signedBy(key chio.Key) (bool, error) {
	vkey, err := checkpoint.NewVKey(v.head.Origin, key)
	if err != nil {
		return false, err
	}
	for _, l := range v.cosigned.Logs { // their lines are verified already
		if l.Key.Equal(vkey) {
			return true, nil
		}
	}
	return v.note.Verify(vkey)
}

// receipt is V-7.
func (v *verification) receipt() *Failure {
	fail := func(class Class, err error) *Failure { return &Failure{class, "V-7", err} }
	entry, failure := v.entry()
	if failure != nil {
		return failure
	}
	if err := checkpoint.VerifyInclusion(checkpoint.LeafHash(entry), v.proof.Index, v.head.Size, v.proof.Path, v.head.Root); err != nil {
		return fail(ClassInclusion, fmt.Errorf("receipt at index %d: %w", v.proof.Index, err))
	}
	r, err := receipt.ParseCanonical(entry)
	if err != nil {
		return fail(ClassReceipt, err)
	}
	v.result.Receipt = r
	if r.Form == receipt.Legacy {
		return fail(ClassReceipt, errors.New("a legacy receipt is no entry of a log"))
	}
	if err := r.Verify(); err != nil {
		return fail(ClassReceipt, err)
	}
	if !r.ParameterHashValid() {
		return fail(ClassParameterHash, errors.New("action.parameter_hash is not the hash of action.parameters"))
	}
	if name, ok := timeline.Reserved(r); ok {
		return v.reserved(r, name)
	}
	return v.writeRange(r)
}

// reserved judges a receipt whose metadata only the log itself may write.
func (v *verification) reserved(r *receipt.Receipt, name string) *Failure {
	fail := func(err error) *Failure {
		return &Failure{ClassReserved, "V-7", fmt.Errorf("metadata %s: %w", name, err)}
	}
	entry, err := timeline.ReadLogEntry(r)
	if err != nil {
		return fail(err)
	}
	position := v.proof.Index + 1
	if state, ok := v.timeline.Key(r.Key); !ok || !state.Sign.Contains(position) {
		return fail(fmt.Errorf("signed by %s, which does not sign for the log at position %d", r.Key.Text(), position))
	}
	if entry.KeyEvent == nil {
		if err := timeline.CheckPayload(entry, v.head.Origin); err != nil {
			return fail(err)
		}
		return nil
	}
	for _, e := range v.extra.Events {
		if e.Index == v.proof.Index && bytes.Equal(e.Leaf, r.Canonical()) {
			return nil
		}
	}
	return fail(fmt.Errorf("the key event at index %d is not one of the timeline", v.proof.Index))
}

// writeRange judges an ordinary receipt by its signer and position.
func (v *verification) writeRange(r *receipt.Receipt) *Failure {
	position := v.proof.Index + 1
	if state, ok := v.timeline.Key(r.Key); ok {
		if !state.Write.Contains(position) {
			return &Failure{ClassWriteRange, "V-7", fmt.Errorf("position %d is outside [%d, %d) of %s", position, state.Write.From, state.Write.To, r.Key.Text())}
		}
		return nil
	}
	fail := func(err error) *Failure {
		return &Failure{ClassWriter, "V-7", fmt.Errorf("signer %s: %w", r.Key.Text(), err)}
	}
	if role, ok := v.timeline.Role(r.Key); ok {
		return fail(fmt.Errorf("is a %s and never a writer", role))
	}
	for _, l := range v.Policy.Logs {
		if pinned, ok := l.Key.ChioKey(); ok && pinned.Equal(r.Key) {
			return fail(fmt.Errorf("is pinned as the key of log %s and never a writer", l.Origin()))
		}
	}
	for i := range v.extra.Writer {
		p := &v.extra.Writer[i]
		if p.Key != r.Key.ID() {
			continue
		}
		present, err := p.Verify(v.result.Status.Writers.Root)
		if err != nil {
			return fail(err)
		}
		if !present {
			return fail(errors.New("is no writer of this log"))
		}
		w, err := timeline.ParseWriter(p.Value)
		if err != nil {
			return fail(err)
		}
		if !w.Range().Contains(position) {
			return fail(fmt.Errorf("position %d is outside its range [%d, %d)", position, w.From, w.Range().To))
		}
		if w.Suspect(position) {
			v.suspect = true
		}
		return nil
	}
	return fail(errors.New("is no timeline key, and the bundle has no proof that it is a writer"))
}

// freshness is V-8. Suspect stands whatever it says.
func (v *verification) freshness() *Failure {
	if v.MaxAge == 0 || v.suspect {
		return nil
	}
	asOf := v.result.AsOf
	if asOf > v.Now && asOf-v.Now > maxSkew {
		return &Failure{ClassStale, "V-8", fmt.Errorf("the bundle is dated %d s in the future", asOf-v.Now)}
	}
	if v.Now > asOf && v.Now-asOf > v.MaxAge {
		return &Failure{ClassStale, "V-8", fmt.Errorf("what is known is %d s old, the limit is %d", v.Now-asOf, v.MaxAge)}
	}
	return nil
}
