package DynamicWeight::PodHistory;

# How many ready pods an application had, by what its API server said and by
# what the edge weighed with. A process of its own notes every change that
# watches tell and, each 100 ms, what /status says.
#
#   my $history = DynamicWeight::PodHistory->new($t, $kube, 'prod', 'orders',
#       service => 'orders', pods => 'by_pods');   # source => upstream
#   ...
#   $history->read;
#   my @ms = $history->ages('service', $from, $to);
#   my @falls = $history->falls('service', $from, $to);
#
# It begins before the application has pods; the namespace holds nothing else.

use strict;
use warnings;

use IO::Select;
use JSON::XS;
use List::Util qw(first max);
use POSIX ();
use Time::HiRes qw(time);

use DynamicWeight;

use constant TICK => 0.1;    # seconds between two comparisons

my %watched = (
    service    => [EndpointSlice => \&slice],
    pods       => [Pod => \&pod],
    deployment => [Deployment => \&deployment],
);

sub new {
    my ($class, $t, $kube, $ns, $app, %upstream) = @_;
    my $self = bless { t => $t, kube => $kube, ns => $ns,
        upstream => \%upstream, api => {}, edge => {} }, $class;
    $t->write_file("history-$app", '');
    $self->{file} = "$t->{dir}/history-$app";
    $self->{pid} = fork // die "fork: $!\n";
    $self->record unless $self->{pid};
    return $self;
}

# ---- The process that notes.

# What an object adds to the count: [ready, serving though terminating].
sub slice {
    my ($object) = @_;
    my (%ready, %serving);
    for my $endpoint (@{$object->{endpoints} // []}) {
        my $uid = $endpoint->{targetRef}{uid};
        my $conditions = $endpoint->{conditions};
        $ready{$uid} = 1 if $conditions->{ready};
        $serving{$uid} = 1
            if $conditions->{serving} && $conditions->{terminating};
    }
    return [scalar(keys %ready), scalar(keys %serving)];
}

sub pod {
    my ($object) = @_;
    my $ready = !$object->{metadata}{deletionTimestamp}
        && $object->{status}{phase} eq 'Running'
        && grep { $_->{type} eq 'Ready' && $_->{status} eq 'True' }
            @{$object->{status}{conditions} // []};
    return [$ready ? 1 : 0, 0];
}

sub deployment { [$_[0]{status}{readyReplicas} // 0, 0] }

# An event is noted with a time before which nothing of it was there; a look at
# the edge with the time after it.
sub record {
    my ($self) = @_;
    my $json = JSON::XS->new->utf8;
    open my $out, '>>', $self->{file} or POSIX::_exit(1);
    $out->autoflush(1);
    my $select = IO::Select->new;
    my %stream;
    for my $source (sort keys %{$self->{upstream}}) {
        my ($kind, $count) = @{$watched{$source}};
        my $one = { source => $source, count => $count, objects => {},
            path => DynamicWeight::KubeObjects::collection($kind, $self->{ns}) };
        my $events = $self->open_watch($one);
        $select->add($events);
        $stream{$events} = $one;
        print $out time, " api $source 0\n";
    }
    my ($quiet, $next) = (time, time);
    while (1) {
        my @readable = $select->can_read(0.005);
        $quiet = time unless @readable;
        for my $events (@readable) {
            my $one = $stream{$events};
            if (!sysread $events, $one->{text}, 1 << 20, length $one->{text}) {
                # So an API server that lacks the processor treats those that
                # it can't serve in time; it tells the rest from there on.
                $select->remove($events);
                delete $stream{$events};
                close $events;
                @$one{qw(gap_began gap_until)} = ($quiet, time + 1);
                $events = $self->open_watch($one);
                $select->add($events);
                $stream{$events} = $one;
                next;
            }
            my $at = time < ($one->{gap_until} // 0) ? $one->{gap_began} : $quiet;
            while ($one->{text} =~ s/^(.*)\n//) {
                $self->take($one, $json->decode($1));
                print $out "$at api $one->{source} $one->{total}\n";
            }
        }
        next if time < $next;
        $next = max($next + TICK, time);
        my $answer = http_get($self->{t}->port, '/dw/status?peers=no') or next;
        my $status = $json->decode($answer->{body});
        my $now = time;
        for my $source (sort keys %{$self->{upstream}}) {
            my $upstream = $status->{upstreams}{$self->{upstream}{$source}};
            my $pods = $upstream->{clusters}[0]{pods} // next;
            print $out "$now edge $source $pods\n";
        }
    }
}

sub open_watch {
    my ($self, $one) = @_;
    $one->{text} = '';
    return $self->{kube}->watch($one->{path}, $one->{version});
}

sub take {
    my ($self, $stream, $event) = @_;
    if ($event->{type} eq 'ERROR') {
        warn "the watch of $stream->{source}: $event->{object}{message}\n";
        POSIX::_exit(1);    # what is noted afterwards would not be all
    }
    $stream->{version} = $event->{object}{metadata}{resourceVersion};
    my $objects = $stream->{objects};
    my $name = $event->{object}{metadata}{name};
    $objects->{$name} = $stream->{count}->($event->{object});
    delete $objects->{$name} if $event->{type} eq 'DELETED';
    my ($ready, $serving) = (0, 0);
    for my $one (values %$objects) {
        $ready += $one->[0];
        $serving += $one->[1];
    }
    $stream->{total} = $ready || $serving;
}

# ---- What it noted.

sub read {
    my ($self) = @_;
    my %noted = (api => {}, edge => {});
    open my $f, '<', $self->{file} or die "$self->{file}: $!\n";
    while (my $line = <$f>) {
        my ($at, $whose, $source, $pods) = split ' ', $line;
        last unless $line =~ /\n\z/;
        push @{$noted{$whose}{$source}}, [$at, $pods];
    }
    # The API's as spans: [from, until, pods], the last one without an end.
    for my $source (keys %{$noted{api}}) {
        my @spans;
        for my $change (@{$noted{api}{$source}}) {
            my ($at, $pods) = @$change;
            next if @spans && $spans[-1][2] == $pods;
            $spans[-1][1] = $at if @spans;
            push @spans, [$at, 9**9**9, $pods];
        }
        $self->{api}{$source} = \@spans;
    }
    $self->{edge} = $noted{edge};
    $self->{ages} = {};
    return $self;
}

# What the API said between two times: [time, pods] of each change.
sub changes {
    my ($self, $source, $from, $to) = @_;
    return map { [@$_[0, 2]] }
        grep { $_->[0] >= $from && $_->[0] <= $to } @{$self->{api}{$source}};
}

sub looks {
    my ($self, $source, $from, $to) = @_;
    return grep { $_->[0] >= $from && $_->[0] <= $to }
        @{$self->{edge}{$source}};
}

# For each look at the edge how long ago, in ms, the API said last what it had:
# 0 where both are the same, or the edge has heard it first. An edge that had
# what the API never said is undefined.
sub ages {
    my ($self, $source, $from, $to) = @_;
    return map { $_->[1] } grep { $_->[0] >= $from && $_->[0] <= $to }
        @{$self->{ages}{$source} //= [$self->all_ages($source)]};
}

# [time, age] of each look. As a watch brings changes in their order, what the
# edge has is never older than what it had.
sub all_ages {
    my ($self, $source) = @_;
    my $spans = $self->{api}{$source};
    my $had = 0;
    return map {
        my ($at, $pods) = @$_;
        my @same = grep { $spans->[$_][2] == $pods } $had .. $#$spans;
        my $has = (first { $spans->[$_][0] <= $at } reverse @same) // $same[0];
        $had = $has // $had;
        [$at, defined $has ? 1000 * max(0, $at - $spans->[$has][1]) : undef];
    } @{$self->{edge}{$source}};
}

# How much later than they were to, in ms, looks came: a busy machine.
sub late {
    my ($self, $source, $from, $to) = @_;
    my @times = map { $_->[0] } $self->looks($source, $from, $to);
    return map { 1000 * max(0, $times[$_] - $times[$_ - 1] - TICK) }
        1 .. $#times;
}

# Each fall of what the edge had: { at, before, after, held: how long, in
# seconds, the API had said less by then }.
sub falls {
    my ($self, $source, $from, $to) = @_;
    my ($before, @falls);
    for my $look ($self->looks($source, $from, $to)) {
        my ($at, $pods) = @$look;
        if (defined $before && $pods < $before) {
            my $last = first { $_->[2] >= $before && $_->[0] <= $at }
                reverse @{$self->{api}{$source}};
            push @falls, { at => $at, before => $before, after => $pods,
                held => max(0, $at - ($last ? $last->[1] : $at)) };
        }
        $before = $pods;
    }
    return @falls;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    $self->stop;
}

1;
