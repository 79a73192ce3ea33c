package DynamicWeight::KubeEtcd;

# The etcd of a cluster, of one member or several. Another base of KubeCluster.
#
#   my $kube = $t->kube_cluster('A', members => 3);
#   $kube->move_leader;
#   my $leader = $kube->etcd_leader;
#   $kube->stop_member($leader, 'KILL');
#   $kube->start_member($leader);

use strict;
use warnings;

use JSON::XS;

use DynamicWeight;

my $json = JSON::XS->new->canonical->utf8;

# What is known of a member before it runs.
sub etcd_member {
    my ($class, $i) = @_;
    my ($clients, $peers) = map { 'http://127.0.0.1:' . DynamicWeight::free_port() }
        1 .. 2;
    return { name => "member-$i", url => $clients, peers => $peers };
}

# Those that do not run; all answer when this returns.
sub start_etcd {
    my ($self) = @_;
    my @all = 0 .. $#{$self->{members}};
    $self->spawn_member($_) for grep { !$self->{"etcd_$_"} } @all;
    $self->await_member($_) for @all;
}

sub stop_etcd {
    my ($self, $signal) = @_;
    $self->stop_member($_, $signal) for 0 .. $#{$self->{members}};
}

sub start_member {
    my ($self, $i) = @_;
    $self->spawn_member($i);
    $self->await_member($i);
}
sub stop_member   { my ($self, $i, $signal) = @_; $self->end("etcd_$i", $signal) }
sub freeze_member { kill 'STOP', $_[0]{"etcd_$_[1]"} }
sub thaw_member   { kill 'CONT', $_[0]{"etcd_$_[1]"} }

sub spawn_member {
    my ($self, $i) = @_;
    my $member = $self->{members}[$i];
    $self->{"etcd_$i"} = $self->spawn("etcd-$i.log", $self->{etcd},
        '--name', $member->{name}, '--data-dir', "$self->{dir}/etcd/$i",
        '--logger=zap', '--log-outputs=stderr', '--unsafe-no-fsync',
        '--listen-client-urls', $member->{url},
        '--advertise-client-urls', $member->{url},
        '--listen-peer-urls', $member->{peers},
        '--initial-advertise-peer-urls', $member->{peers},
        '--initial-cluster', join ',',
            map { "$_->{name}=$_->{peers}" } @{$self->{members}});
}

sub await_member {
    my ($self, $i) = @_;
    my $url = $self->{members}[$i]{url};
    DynamicWeight::wait_for(sub { `curl -s -m 2 $url/health` =~ /true/ },
        "member $i of the etcd of $self->{name}", 60)
        or die "etcd does not start: see $self->{dir}/etcd-$i.log\n";
}

# ---- The leader.

# The index of the member that leads, as one says that answers; undef in an
# election.
sub etcd_leader {
    my ($self) = @_;
    my %index;
    my @leader;
    for my $i (grep { $self->{"etcd_$_"} } 0 .. $#{$self->{members}}) {
        my $status = $self->ask_etcd($i, 'maintenance/status', {}) or next;
        $index{$status->{header}{member_id}} = $i;
        push @leader, $status->{leader} // 0;
    }
    my ($known) = grep { exists $index{$_} } @leader;
    return defined $known ? $index{$known} : undef;
}

# Another member leads, by agreement.
sub move_leader {
    my ($self) = @_;
    my $from = $self->etcd_leader // die "no member leads\n";
    my $to = ($from + 1) % @{$self->{members}};
    my $id = $self->ask_etcd($to, 'maintenance/status', {})->{header}{member_id};
    $self->ask_etcd($from, 'maintenance/transfer-leadership',
        { targetID => $id });
    $self->await_leader($from) or die "member $from leads still\n";
    return $to;
}

# Another one than this leads.
sub await_leader {
    my ($self, $former) = @_;
    return DynamicWeight::wait_for(sub {
        my $leader = $self->etcd_leader;
        defined $leader && $leader != $former
    }, "another member to lead than $former", 60);
}

# What a member answers, by its gateway from JSON; undef: nothing.
sub ask_etcd {
    my ($self, $i, $what, $question) = @_;
    my $text = $json->encode($question);
    my $answer = `curl -s -m 3 -d '$text' $self->{members}[$i]{url}/v3/$what`;
    return $answer eq '' ? undef : $json->decode($answer);
}

# ---- Its data.

# Copies etcd's data aside, and puts the copy back: time goes back. Both
# restart the API server.
sub save_etcd {
    my ($self, $name) = @_;
    $self->around_etcd("rm -rf saved-$name && cp -a etcd saved-$name");
}
sub restore_etcd {
    my ($self, $name) = @_;
    $self->around_etcd("rm -rf etcd && cp -a saved-$name etcd");
}

sub around_etcd {
    my ($self, $command) = @_;
    $self->stop_apiserver('KILL');
    $self->stop_etcd;
    system("cd $self->{dir} && $command") == 0 or die "failed: $command\n";
    $self->start_etcd;
    return $self->start;
}

# Etcd forgets history up to now: the API server's watch cache does not.
# With a restart afterwards, older versions are too old.
sub compact {
    my ($self) = @_;
    my $revision = $self->ask_etcd(0, 'kv/range', { key => 'AA==' })
        ->{header}{revision};
    $self->ask_etcd(0, 'kv/compaction', { revision => $revision, physical => \1 });
    return $revision;
}

1;
