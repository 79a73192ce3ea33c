package DynamicWeight::Estate;

# A live estate: member clusters with real controllers, their ingress nodes, and
# edges under a steady load, watched by an oracle (Estate/Oracle.pm).
#
#   my $estate = DynamicWeight::Estate->new(apps => ['orders'], rate => 1000);
#   $estate->make(A => 'orders', 12);      # Deployment, Service, Ingress
#   $estate->make(B => 'orders', 7);
#   $estate->begin;
#   $estate->mark('A scales to 30');
#   $estate->cluster('A')->scale('prod', 'orders', 30);
#   $estate->await(A => { orders => 30 });
#   $estate->finish;       # the table, and what every drill must show
#
# Options: `clusters`: names (A and B); `nodes`: ingress nodes of each; `edges`;
# `rate`: requests a second over all applications and edges (ESTATE_RATE);
# `controllers`: further ones of kube-controller-manager, and its `flags`;
# `rollouts`: clusters with Argo's controller, too, and `kind`: what make() makes
# (Deployment; Rollout); `balanced`: those of two API servers behind HAProxy;
# `apart`: how many of a cluster's last nodes can hang apart from the others;
# `ingress_pods`: clusters whose ingress nodes are those that have a pod of the
# Deployment "ingress", and not those with a label;
# `line`: what an ingress_nodes line is, with %%APP%%, and `line_of` an
# application, and `line_in` what its line of a cluster has besides; `block`: what
# a cluster's block has besides; `workers` of an edge; `allow_retries`.
#
# Ingress nodes of the first cluster are 127.0.1.1 and so on, of the second
# 127.0.2.1. Everything ends with the test, even if that is killed.

use strict;
use warnings;

use File::Path qw(remove_tree);
use JSON::XS;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use DynamicWeight;
use parent -norequire, 'DynamicWeight::Estate::Edges';
use DynamicWeight::Estate::Edges;
use DynamicWeight::Estate::IngressNodes;
use DynamicWeight::Estate::Oracle;
use DynamicWeight::Estate::SteadyLoad;
use DynamicWeight::Estate::Table;
use DynamicWeight::Intermediary;
use DynamicWeight::Processes qw(children);

use constant NAMESPACE => 'prod';

sub new {
    my ($class, %opt) = @_;
    my $t = DynamicWeight->new(workers => $opt{workers} // 2,
        connections => 4096);
    my $self = bless {
        t => $t, nodes => 4, apps => ['orders'],
        clusters => ['A', 'B'], controllers => [], flags => [],
        rollouts => [], kind => 'Deployment', balanced => [], apart => {},
        ingress_pods => [], line_of => {}, line_in => {}, block => '', marks => [],
        expected => [],
        rate => $ENV{ESTATE_RATE} // 1000, owner => $$,
        line => 'service=prod/%%APP%% ingress=prod/%%APP%%', %opt,
        edge_count => $opt{edges} // 1,
    }, $class;
    $self->{edges} = [$t];
    $self->guard;
    my $number = 0;
    for my $name (@{$self->{clusters}}) {
        my $subnet = '127.0.' . ++$number;
        my $kube = $t->kube_cluster($name, etcd => '3.6');
        $self->balance($kube) if grep { $_ eq $name } @{$self->{balanced}};
        my $apart = $self->{apart}{$name} // 0;
        $kube->start_controllers(apart => $apart, flags => [
            # as in a real cluster: an API may be away for a while
            '--node-monitor-grace-period=50s', @{$self->{flags}}],
            controllers => [
            'garbage-collector-controller', @{$self->{controllers}}]);
        $kube->start_rollouts if grep { $_ eq $name } @{$self->{rollouts}};
        my @addresses = map "$subnet.$_", 1 .. $self->{nodes};
        my $member = $self->{member}{$name} = { kube => $kube,
            subnet => $subnet, addresses => [@addresses],
            apart => [splice @addresses, @addresses - $apart],
            others => \@addresses };
        # KWOK makes them Ready.
        $kube->node(address => $_, ready => 0) for @addresses;
        $kube->node(address => $_, ready => 0, labels => { $kube->APART => '' })
            for @{$member->{apart}};
        $kube->ingress_controller(NAMESPACE, 'ingress', $self->{nodes})
            if $self->by_pods($name);
    }
    return $self;
}

# One more API server beside a cluster's first, and HAProxy before both.
sub balance {
    my ($self, $kube) = @_;
    my $name = $kube->name;
    my $second = $self->{t}->kube_cluster("${name}2", beside => $kube);
    my $balancer = DynamicWeight::Intermediary->new($self->{t},
        "${name}_BALANCER", $kube, 'haproxy', beside => [$second]);
    $kube->stand_behind($balancer->port);
    wait_for { ($kube->api(GET => '/readyz'))[0] == 200 } 'HAProxy', 60
        or die "no API server behind HAProxy answers\n";
    $self->{api_servers}{$name} = [$kube, $second];
}

sub t       { $_[0]{t} }
sub edges   { @{$_[0]{edges}} }
sub oracle  { $_[0]{oracle} }
sub cluster { $_[0]{member}{$_[1]}{kube} }
sub addresses { @{$_[0]{member}{$_[1]}{addresses}} }
sub api_servers { @{$_[0]{api_servers}{$_[1]}} }
sub ingress_nodes { $_[0]{member}{$_[1]}{ingress_nodes} }

# Whether a cluster's ingress nodes are told by pods.
sub by_pods {
    my ($self, $name) = @_;
    return scalar grep { $_ eq $name } @{$self->{ingress_pods}};
}

# A process that sees the test killed, and then ends what does not by itself,
# nginx and HAProxy, which are daemons, and removes the directories.
sub guard {
    my ($self) = @_;
    pipe my $reads, my $writes or die "pipe: $!\n";
    my $dir = $self->{t}{dir};
    mkdir "$dir/worlds";
    symlink $dir, "$dir/worlds/0";
    $self->{guard} = fork // die "fork: $!\n";
    if (!$self->{guard}) {
        close $writes;
        POSIX::setpgid(0, 0);
        sysread $reads, my $any, 1;    # nothing comes but the end
        my @worlds = map { readlink } glob "$dir/worlds/*";
        my @pids;
        for my $file ((map { "$_/nginx.pid" } @worlds),
            glob "$dir/intermediary-*/pid")
        {
            open my $f, '<', $file or next;
            push @pids, <$f> =~ /(\d+)/;
        }
        kill 'TERM', @pids;
        wait_for { !kill 0, @pids } 'the daemons to end', 20;
        remove_tree(@worlds) unless $ENV{TEST_KEEP};
        POSIX::_exit(0);
    }
    close $reads;
    $self->{alive} = $writes;
    push @{$self->{t}{clusters}}, $self;
}

# cleanup() of the test calls it.
sub stop {
    my ($self) = @_;
    return unless $$ == $self->{owner};
    my $guard = delete $self->{guard} or return;
    kill 'KILL', $guard;
    waitpid $guard, 0;
}

# The nodes that stand apart hang, and their kubelets; or no more.
sub freeze_apart {
    my ($self, $name) = @_;
    my $member = $self->{member}{$name};
    $member->{kube}->freeze_kubelets('kubelets_apart');
    $member->{ingress_nodes_apart}->freeze;
}
sub thaw_apart {
    my ($self, $name) = @_;
    my $member = $self->{member}{$name};
    $member->{ingress_nodes_apart}->thaw;
    $member->{kube}->thaw_kubelets('kubelets_apart');
}

# A node is an ingress node no more, or again, as its label says. Its pods stay.
sub node_leaves { my ($self, $name, $address) = @_;
    $self->label_node($name, $address, 'spare') }
sub node_joins { my ($self, $name, $address) = @_;
    $self->label_node($name, $address, 'ingress') }

sub label_node {
    my ($self, $name, $address, $role) = @_;
    $self->cluster($name)->patch(Node => undef,
        DynamicWeight::KubeObjects::node_name($address),
        { metadata => { labels => { role => $role } } });
}

# ---- Applications.

# Deployment or Rollout, Service and Ingress of an application in a cluster.
sub make {
    my ($self, $name, $app, $replicas) = @_;
    my $kube = $self->cluster($name);
    if ($self->{kind} eq 'Rollout') {
        $kube->rollout(NAMESPACE, $app, $replicas, { canary => {} });
    } else {
        $kube->deployment(NAMESPACE, $app, $replicas);
    }
    $kube->ingress(NAMESPACE, $app);
}

# The controllers have as many ready pods as they were told, and no others.
sub settled {
    my ($self, $name) = @_;
    my $kube = $self->cluster($name);
    for my $deployment ($kube->list(Deployment => NAMESPACE),
        $kube->{rollouts} ? $kube->list(Rollout => NAMESPACE) : ())
    {
        my ($wanted, $status) = @$deployment{qw(spec status)};
        return if ($status->{observedGeneration} // 0)
            < $deployment->{metadata}{generation};
        return if grep { ($status->{$_} // 0) != $wanted->{replicas} }
            qw(replicas updatedReplicas readyReplicas);
    }
    return 1;
}

sub await_settled {
    my ($self, @names) = @_;
    for my $name (@names ? @names : @{$self->{clusters}}) {
        wait_for { $self->settled($name) } "the controllers of $name", 180
            or die "the controllers of $name are not done\n";
    }
}

# Every edge has so many pods: CLUSTER => { APP => pods }, ... False when not.
sub await {
    my ($self, %pods) = @_;
    for my $edge ($self->edges) {
        wait_for {
            my $status = $edge->status or return;
            for my $name (keys %pods) {
                for my $app (keys %{$pods{$name}}) {
                    my ($line) = grep { $_->{cluster} eq $name }
                        @{$status->{upstreams}{$app}{clusters}};
                    return if ($line->{pods} // -1) != $pods{$name}{$app};
                }
            }
            1
        } 'the edges to have ' . encode_json(\%pods), 120 or return;
    }
    return 1;
}

# Everything runs when this returns: the edges have every application's weights.
sub begin {
    my ($self) = @_;
    my $t = $self->{t};
    $self->await_settled;
    for my $member (map { $self->{member}{$_} } @{$self->{clusters}}) {
        my @how = ($t, $member->{kube}, NAMESPACE, $t->{backend});
        $member->{ingress_nodes} = DynamicWeight::Estate::IngressNodes->new(
            @how, @{$member->{others}});
        $member->{ingress_nodes_apart} =
            DynamicWeight::Estate::IngressNodes->new(@how, @{$member->{apart}})
            if @{$member->{apart}};
    }
    $self->start_edges;
    my @lines;
    for my $app (@{$self->{apps}}) {
        my ($source, $counted, $ingress) = $self->line_of($app)
            =~ m{^(\w+)=[\w-]+/([\w-]+)(?: ingress=[\w-]+/([\w-]+))?};
        push @lines, map { { upstream => $app, app => $counted, cluster => $_,
            source => $source, subnet => $self->{member}{$_}{subnet},
            ingress => $ingress, by_pods => $self->by_pods($_) } }
            @{$self->{clusters}};
    }
    $self->{index_of} = { map { ("$lines[$_]{upstream}/$lines[$_]{cluster}" => $_) }
        0 .. $#lines };
    $self->{oracle} = DynamicWeight::Estate::Oracle->new($t, $self->{edges},
        { map { $_ => $self->cluster($_) } @{$self->{clusters}} }, NAMESPACE,
        @lines);
    $self->{load} = DynamicWeight::Estate::SteadyLoad->new($t, $self->{rate},
        [map { $_->port } $self->edges], $self->{apps});
    wait_for { $self->{load}->read->{requests} } 'the load', 30
        or die "the load does not start\n";
    $self->{size} = [map { $self->sizes($_) } $self->edges];
    $self->mark('the start');
}

# What happens from now on, for the table.
sub mark {
    my ($self, $text) = @_;
    push @{$self->{marks}}, [time, $text];
}

# For so long nothing is done.
sub linger {
    my ($self, $seconds) = @_;
    my $end = time + $seconds;
    sleep 0.05 while time < $end;
}

sub awaits {
    my ($self, $condition, $name, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok(&wait_for($condition, $name, $seconds // 60), $name);
}

# What the load has seen so far (SteadyLoad::read).
sub so_far { $_[0]{load}->read }

# The moments between which a cluster's API first had no Ingress of an
# application that had one.
sub ingress_gone {
    my ($self, $name, $app) = @_;
    return $self->{oracle}->ingress_gone($self->{index_of}{"$app/$name"});
}

# How late a busy machine let the oracle be, at the most, in the second after
# this moment.
sub late_at { $_[0]{oracle}->late_at($_[1]) }

# Lines of the error log above notice that have a cause.
sub expect { my ($self, @patterns) = @_; push @{$self->{expected}}, @patterns }

# Memory of everything that this estate runs, in MB; what is shared counts once.
sub memory {
    my ($self) = @_;
    my $kb = 0;
    for my $pid ($$, children($$), map { ($_->master, $_->workers) } $self->edges)
    {
        open my $f, '<', "/proc/$pid/smaps_rollup" or next;
        $kb += join('', <$f>) =~ /^Pss:\s+(\d+)/m ? $1 : 0;
    }
    return int $kb / 1024;
}

# ---- The end.

# The load ends: what it, the oracle and the logs say. Options: `failed`: a code
# that says of a failed request whether it had to be; `also`: what is to be told
# after the table.
sub finish {
    my ($self, %opt) = @_;
    $self->mark('the end');
    my $memory = $self->memory;
    $self->linger(1);
    $self->{load}->stop;
    $self->{oracle}->stop;
    # The load's connections are closed now.
    my @grown;
    wait_for { !(@grown = $self->grown) } 'the edges to shrink', 30;
    my $load = $self->{load}->read;
    my $verdict = $self->{oracle}->verdict;
    note($_) for DynamicWeight::Estate::Table::lines($self->{marks}, $load,
            $self->{oracle}->seconds, $self->{clusters}),
        DynamicWeight::Estate::Table::sums($load, $verdict, $self->{rate},
            $memory);

    my @failed = grep { !($opt{failed} && $opt{failed}->($_)) }
        @{$load->{failed}};
    $opt{also}->() if $opt{also};
    is(join("\n", map { DynamicWeight::Estate::Table::failure($_) }
        @failed[0 .. ($#failed < 9 ? $#failed : 9)]), '',
        @failed . " of $load->{requests} requests failed");
    is($load->{retried}, 0, 'no connection was cut off')
        unless $self->{allow_retries};
    my @wrong = @{$verdict->{wrong}};
    is(join("\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]), '',
        "$verdict->{comparisons} weights are what the controllers said");
    cmp_ok($verdict->{current}, '>', 0, 'which were compared');
    is(join("\n", @grown), '', 'neither memory nor descriptors have grown');
    for my $edge ($self->edges) {
        my @lines = grep { /\[(?:warn|error|crit|alert|emerg)\]/ }
            split /\n/, $edge->log;
        for my $pattern (@{$self->{expected}}) {
            @lines = grep { !/$pattern/ } @lines;
        }
        is(join("\n", @lines), '', 'no line above notice without a cause');
    }
    for my $edge (@{$self->{edges}}[1 .. $#{$self->{edges}}]) {
        ok($edge->stop, 'nginx ends');
    }
    $self->{t}->done;
}

1;
