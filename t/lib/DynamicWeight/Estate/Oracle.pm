package DynamicWeight::Estate::Oracle;

# Whether the weights in edges are what the formula gives of what controllers
# say. It watches the API servers by itself and notes each change; each 100 ms it
# notes every weight that each edge has. What is compared at the end:
#
#   my $oracle = DynamicWeight::Estate::Oracle->new($t, [@edges],
#       { A => $kube_a, B => $kube_b }, 'prod',
#       { upstream => 'orders', cluster => 'A', source => 'service',
#         app => 'orders', subnet => '127.0.1', ingress => 'orders',
#         by_pods => 0 }, ...);
#   ...
#   my $found = $oracle->verdict($until);
#
# verdict() is { comparisons, current (as now or at most 1 s before), held (a
# scale-down that the guard still held back), away (of before the edge said that
# the API does not answer it, or not yet its new workers), overridden (by a rule), wrong => [lines of text],
# ages => [seconds, sorted], late }. A comparison is one weight
# of one peer in one edge at one moment.
#
# The formula: max(1, floor(pods * 10 / nodes)) on each node; nothing when there is
# no pod (empty=drain), or no Ingress where the line needs it.

use strict;
use warnings;

use IO::Select;
use JSON::XS;
use List::Util qw(max min sum0 uniq);
use POSIX ();
use Time::HiRes qw(time);

use DynamicWeight;
use DynamicWeight::Estate::Informer;

use constant {
    TICK         => 0.1,
    FRESH        => 1,     # s: what was true so long ago may be in force
    # s: a scale-down may be held back so long: the guard's `confirm`, and a list
    # for which it takes its turn
    HELD         => 8,
    # s: two who watch one API server are not told at the same moment; on a busy
    # machine the oracle may hear of it after the edge
    APART        => 1,
    BASE         => 10,
    FOREVER      => 9**9**9,
};

my $json = JSON::XS->new->canonical;

sub new {
    my ($class, $t, $edges, $clusters, $ns, @lines) = @_;
    my $self = bless { t => $t, edges => $edges, clusters => $clusters,
        ns => $ns, lines => \@lines, owner => $$,
        file => "$t->{dir}/oracle." . ++$t->{oracles} }, $class;
    $t->write_file("oracle.$t->{oracles}", '');
    push @{$t->{clusters}}, $self;
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        eval { $self->record; 1 } or print STDERR "oracle: $@";
        POSIX::_exit(1);
    }
    DynamicWeight::wait_for(sub { -s $self->{file} }, 'the oracle', 60)
        or die "the oracle does not start\n";
    return $self;
}

sub stop {
    my ($self) = @_;
    return unless $$ == $self->{owner};
    my $pid = delete $self->{pid} or return;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

# ---- The process that notes.

my %kind = (deployment => 'Deployment', rollout => 'Rollout');

sub record {
    my ($self) = @_;
    my $parent = getppid;
    open $self->{out}, '>>', $self->{file} or die "$self->{file}: $!\n";
    my %informer;
    for my $name (sort keys %{$self->{clusters}}) {
        my %kinds = map { ($kind{$_->{source}} // 'EndpointSlice' => 1,
                $_->{by_pods} ? (Pod => 1) : ()) }
            grep { $_->{cluster} eq $name } @{$self->{lines}};
        $informer{$name} = DynamicWeight::Estate::Informer->new(
            $self->{clusters}{$name}, $self->{ns}, 'Node', 'Ingress',
            keys %kinds);
    }
    my $next = time;
    while (1) {
        POSIX::_exit(0) if getppid != $parent;
        my $select = IO::Select->new;
        my %of;
        for my $name (keys %informer) {
            $informer{$name}->tick;
            for my $handle ($informer{$name}->select->handles) {
                $select->add($handle);
                $of{$handle} = $name;
            }
        }
        my $began = time;
        my @ready = $select->can_read(max(0, $next - $began));
        for my $handle (@ready) {
            my $name = $of{$handle};
            $informer{$name}->read($handle,
                sub { $self->note_cluster($name, $informer{$name}) });
        }
        my %read = map { $of{$_} => 1 } @ready;
        $informer{$_}->is_quiet($began) for grep { !$read{$_} } keys %informer;
        next if time < $next;
        $self->note_edges($next) unless grep { !$_->known } values %informer;
        $next = max($next + TICK, time);
        $self->{out}->flush;
    }
}

# What each line of a cluster should weigh from now on, where that is new.
sub note_cluster {
    my ($self, $name, $informer) = @_;
    my ($of_it) = grep { $_->{cluster} eq $name } @{$self->{lines}};
    my $which = $of_it->{by_pods} ? 'hosts' : 'nodes';
    my $nodes = $informer->$which;
    my $all = $informer->$which(1);
    # Of more than half that are not ready, none is left out.
    $nodes = $all if keys(%$nodes) * 2 < keys %$all;
    my $ingresses = $informer->objects('Ingress');
    my ($endpoints, %ready);
    for my $i (0 .. $#{$self->{lines}}) {
        my $line = $self->{lines}[$i];
        next unless $line->{cluster} eq $name;
        my $pods;
        if (my $kind = $kind{$line->{source}}) {
            $ready{$kind} //= $informer->ready_replicas($kind);
            $pods = $ready{$kind}{$line->{app}} // 0;
        } else {
            $endpoints //= $informer->endpoints;
            $pods = @{$endpoints->{$line->{app}} // []};
        }
        my $gone = $line->{ingress} && !$ingresses->{$line->{ingress}} ? 1 : 0;
        my $counted = $gone ? 0 : $pods;
        my $weight = $counted && keys %$nodes
            ? max(1, int($counted * BASE / keys %$nodes)) : 0;
        my %should = $weight ? map { $_ => $weight } keys %$nodes : ();
        my $text = $json->encode([$pods, $gone, \%should]);
        next if ($self->{last}[$i] // '') eq $text;
        $self->{last}[$i] = $text;
        print {$self->{out}} join("\t", 'api', $i, $informer->since, time,
            $informer->leaped, $text), "\n";
    }
}

sub note_edges {
    my ($self, $due) = @_;
    my %line = map {
        ("$self->{lines}[$_]{upstream}/$self->{lines}[$_]{cluster}" => $_)
    } 0 .. $#{$self->{lines}};
    my %subnet = map { $_->{subnet} => $_->{cluster} } @{$self->{lines}};
    for my $edge (0 .. $#{$self->{edges}}) {
        my $began = time;
        my $answer = http_get($self->{edges}[$edge]->port, '/dw/status',
            timeout => 5) or next;
        my $status = eval { $json->decode($answer->{body}) } or next;
        my $now = time;
        my @has;
        for my $name (keys %{$status->{upstreams}}) {
            for my $peer (@{$status->{upstreams}{$name}{peers}}) {
                my ($address) = $peer->{server} =~ /^(.*):/;
                my $cluster = $subnet{$address =~ s/\.\d+\z//r} // next;
                my $i = $line{"$name/$cluster"} // next;
                if ($peer->{tuning}) { $has[$i] = 'rule' }
                elsif ($peer->{state} !~ /^drain/ && ref($has[$i] // {})) {
                    $has[$i]{$address} = $peer->{weight};
                }
            }
        }
        my %new;
        for my $i (0 .. $#{$self->{lines}}) {
            my $text = $json->encode([$has[$i] // {}]);
            next if ($self->{had}[$edge][$i] // '') eq $text;
            $self->{had}[$edge][$i] = $text;
            $new{$i} = $has[$i] // {};
        }
        my $clusters = $status->{clusters};
        my @down = grep { !$clusters->{$_}{up}
            || !$clusters->{$_}{watch}{synced} } sort keys %{$self->{clusters}};
        print {$self->{out}} join("\t", 'edge', $edge, $began, $now,
            join(' ', @down), $json->encode(\%new)), "\n";
    }
}

# ---- What it noted.

# api: by line, spans [from, until, pods, gone, weights, whether others may have
# been there before]; looks: [edge, began,
# at, clusters that are not up, weights by line], in order.
sub read {
    my ($self) = @_;
    my (@api, @looks);
    open my $f, '<', $self->{file} or die "$self->{file}: $!\n";
    while (my $row = <$f>) {
        last unless $row =~ /\n\z/;
        chomp $row;
        my ($what, @of) = split /\t/, $row;
        if ($what eq 'edge') {
            push @looks, [@of[0 .. 3], $json->decode($of[4])];
            next;
        }
        my ($i, $from, $known, $leaped, $text) = @of;
        my $spans = $api[$i] //= [];
        $spans->[-1][1] = $known if @$spans;
        push @$spans, [$from, FOREVER, @{$json->decode($text)}, $leaped];
    }
    return { api => \@api, looks => \@looks };
}

# How late looks were, at the most, in the second after a moment.
sub late_at {
    my ($self, $at) = @_;
    my ($late, $last) = (0, undef);
    for my $look (@{$self->{noted}{looks}}) {
        my $began = $look->[1];
        $late = max($late, $began - $last - TICK)
            if defined $last && $began >= $at && $last <= $at + 1;
        $last = $began;
    }
    return $late;
}

# When the API first had no Ingress of a line: the earliest and latest moment.
sub ingress_gone {
    my ($self, $i) = @_;
    $self->{noted} //= $self->read;
    my $spans = $self->{noted}{api}[$i];
    for my $n (1 .. $#$spans) {
        return ($spans->[$n][0], $spans->[$n - 1][1])
            if $spans->[$n][3] && !$spans->[$n - 1][3];
    }
    return;
}

sub verdict {
    my ($self) = @_;
    my $noted = $self->{noted} = $self->read;
    my %found = (comparisons => 0, current => 0, held => 0, overridden => 0,
        away => 0, wrong => [], late => 0, ages => []);
    my (@has, @last, @memo, @down);
    for my $look (@{$noted->{looks}}) {
        my ($edge, $began, $at, $down, $new) = @$look;
        note_down($down[$edge] //= {}, $began, split / /, $down);
        # A busy machine: as late as this look came, an edge may be, too.
        my $late = max(0, $began - ($last[$edge] // $began) - TICK)
            + ($at - $began);
        $last[$edge] = $began;
        $found{late} = max($found{late}, $late);
        for my $i (keys %$new) {
            my $weights = $new->{$i};
            $has[$edge][$i] = $weights;
            $memo[$edge][$i] = ref $weights ? $json->encode($weights) : '';
        }
        for my $i (0 .. $#{$self->{lines}}) {
            my $weights = $has[$edge][$i];
            if (!ref $weights) { $found{overridden}++; next }
            my $n = max(1, scalar keys %$weights);
            $found{comparisons} += $n;
            my @how = ($noted->{api}[$i], $weights, $memo[$edge][$i], $began,
                $at);
            my ($what, $age) = $self->judge(@how, $late);
            my $away = $down[$edge]{$self->{lines}[$i]{cluster}};
            if ($what eq 'wrong' && $away) {
                ($what) = $self->judge(@how, $late + $began - $away->[0]);
                ($what, $age) = ('away', 0) if $what ne 'wrong';
            }
            if ($what eq 'wrong') {
                push @{$found{wrong}}, $self->complain($i, $edge, $at,
                    $noted->{api}[$i], $weights);
            } else {
                $found{$what} += $n;
                push @{$found{ages}}, ($age) x $n if $age;
            }
        }
    }
    @{$found{ages}} = sort { $a <=> $b } @{$found{ages}};
    return \%found;
}

# By cluster, [since when, until when] an edge said that the API does not answer,
# or has not yet answered new workers.
# What it held then may stay until a list and the guard have replaced it.
sub note_down {
    my ($down, $now, @clusters) = @_;
    $down->{$_} = [$down->{$_} ? $down->{$_}[0] : $now, $now] for @clusters;
    delete @$down{grep { $down->{$_}[1] < $now - FRESH - HELD } keys %$down};
}

# (current, held or wrong; how long ago the last state with these weights ended).
sub judge {
    my ($self, $spans, $weights, $text, $began, $at, $late) = @_;
    my ($now, $leaped, @recent);
    for my $span (reverse @$spans) {
        next if $span->[0] > $at + APART + $late;
        $now //= $span if $span->[0] <= $at;
        my $age = max(0, $began - $span->[1]);
        last if $age > FRESH + HELD + $late;
        push @recent, $span;
        $leaped ||= $span->[5] if $age <= FRESH + $late;
        $span->[6] //= $json->encode($span->[4]);
        next if $span->[6] ne $text;
        return (current => $age) if $age <= FRESH + $late;
        return (held => $age) if $now && takes($weights, $now->[4]);
    }
    # Of a fall a part may be held back. And what the API said while the
    # oracle had no watch it does not know.
    return ('wrong', 0) unless between($weights, @recent);
    return (held => 0) if $now && takes($weights, $now->[4]);
    return ($leaped ? 'current' : 'wrong', 0);
}

# Whether going to `now` takes something away: pods or nodes.
sub takes {
    my ($weights, $now) = @_;
    return sum0(values %$weights) > sum0(values %$now)
        || keys %$weights > keys %$now;
}

# One weight on just the nodes of some of these states, of no less pods than the
# least of them and no more than the most. What is held back of a loss comes on
# top of what has joined since; nodes and pods are held back apart.
sub between {
    my ($weights, @spans) = @_;
    my ($one, @others) = uniq(values %$weights);
    return if !defined $one || @others;
    my $nodes = join ' ', sort keys %$weights;
    return unless grep { join(' ', sort keys %{$_->[4]}) eq $nodes } @spans;
    my @pods = map { $_->[3] ? 0 : $_->[2] } @spans;
    my ($least, $most) = map { int($_ * BASE / keys %$weights) } min(@pods),
        2 * max(@pods) - min(@pods);
    return $least <= $one && $one <= max(1, $most);
}

sub complain {
    my ($self, $i, $edge, $at, $spans, $weights) = @_;
    my $line = $self->{lines}[$i];
    my @near = grep { $_->[1] >= $at - FRESH - HELD && $_->[0] <= $at + FRESH }
        @$spans;
    return sprintf '%.3f: edge %d: %s, cluster %s has %s; the API said %s', $at,
        $edge, @$line{qw(upstream cluster)}, $json->encode($weights),
        join '; ', map { sprintf 'from %.3f %d pods%s, %s', $_->[0] - $at,
            $_->[2], $_->[3] ? ', no Ingress' : '', $json->encode($_->[4]) }
            @near;
}

# By second: { SECOND => { CLUSTER => [pods, weights in edge 0] } }, at its end.
sub seconds {
    my ($self) = @_;
    my $noted = $self->{noted} //= $self->read;
    my (%second, @has, @at);
    for my $look (grep { $_->[0] == 0 } @{$noted->{looks}}) {
        my $now = $look->[2];
        @has[keys %{$look->[4]}] = values %{$look->[4]};
        my %row;
        for my $i (0 .. $#{$self->{lines}}) {
            my $row = $row{$self->{lines}[$i]{cluster}} //= [0, 0];
            my $spans = $noted->{api}[$i];
            $at[$i] //= 0;
            $at[$i]++ while $at[$i] < $#$spans && $spans->[$at[$i] + 1][0] <= $now;
            $row->[0] += $spans->[$at[$i]][2];
            $row->[1] += sum0 values %{$has[$i]} if ref $has[$i];
        }
        $second{int $now} = \%row;
    }
    return \%second;
}

1;
