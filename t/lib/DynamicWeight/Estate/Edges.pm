package DynamicWeight::Estate::Edges;

# The edges of an estate: what their nginx.conf says, rules, what they hold. A base of
# DynamicWeight::Estate.

use strict;
use warnings;

use JSON::XS;
use List::Util qw(max);

use DynamicWeight;

sub line_of {
    my ($self, $app) = @_;
    return ($self->{line_of}{$app} // $self->{line}) =~ s/%%APP%%/$app/gr;
}

sub edge_conf {
    my ($self) = @_;
    my $conf = <<"EOF";
    dynamic_weight_zone main:8m state=%%DIR%%/state/main.json;
    dynamic_weight_tuning %%DIR%%/tuning.json;
    keepalive_timeout 600s;
    server_names_hash_bucket_size 128;
    server {
        listen 127.0.0.1:%%PORT%% default_server backlog=4096;
        location /dw/ { dynamic_weight_status; }
    }
EOF
    for my $name (@{$self->{clusters}}) {
        my $nodes = $self->by_pods($name)
            ? 'pods=' . $self->NAMESPACE . '/app=ingress' : 'nodes=role=ingress';
        $conf .= <<"EOF";
    dynamic_weight_cluster $name {
        api            %%$name%%;
        token_file     %%${name}_TOKEN%%;
        ca_file        %%${name}_CA%%;
        ingress_nodes  $nodes;
        $self->{block}
    }
EOF
    }
    my $slots = max(16, $self->{nodes});
    for my $app (@{$self->{apps}}) {
        my $line = $self->line_of($app);
        my $lines = join '', map "        ingress_nodes $_ $line "
            . "port=%%BACKEND%% slots=$slots empty=drain "
            . ($self->{line_in}{$_} // '') . ";\n",
            @{$self->{clusters}};
        $conf .= <<"EOF";
    upstream $app {
        dynamic_weight;
$lines    }
    server {
        listen 127.0.0.1:%%PORT%%;
        server_name $app;
        location / {
            proxy_pass             http://$app;
            proxy_http_version     1.1;
            proxy_set_header       Connection "";
            proxy_set_header       Host \$host;
            proxy_connect_timeout  1s;
            proxy_read_timeout     2s;
        }
    }
EOF
    }
    return $conf;
}

sub start_edges {
    my ($self) = @_;
    my $t = $self->{t};
    while (@{$self->{edges}} < $self->{edge_count}) {
        my $edge = DynamicWeight->new(workers => $t->{workers},
            connections => 4096, backend => $t->{backend},
            names => $t->{names});
        symlink $edge->{dir}, "$t->{dir}/worlds/" . @{$self->{edges}};
        push @{$self->{edges}}, $edge;
    }
    for my $edge ($self->edges) {
        $edge->write_file('tuning.json', '{"rules":[]}');
        $edge->conf(http => $self->edge_conf);
        $edge->start or die "nginx does not start\n";
        wait_for { http_get($edge->port, '/dw/ready')->{status} == 200 }
            'the edge to be ready', 60 or die "the edge is not ready\n";
    }
}

# ---- Rules.

# Drains applications' lines by rules, as the runbook has it; true when no
# request runs there any more.
sub drain {
    my ($self, $name, @apps) = @_;
    my $rules = $self->{rules} //= [];
    push @$rules, map { { upstream => $_, cluster => $name,
        drain => $JSON::XS::true, reason => 'it moves' } } @apps;
    for my $edge ($self->edges) {
        $edge->write_file('tuning.new', encode_json({ rules => $rules }));
        rename "$edge->{dir}/tuning.new", "$edge->{dir}/tuning.json"
            or die "tuning.json: $!\n";
    }
    my $subnet = $self->{member}{$name}{subnet};
    for my $edge ($self->edges) {
        wait_for {
            my $status = $edge->status or return;
            for my $app (@apps) {
                my @peers = grep { index($_->{server}, "$subnet.") == 0 }
                    @{$status->{upstreams}{$app}{peers}};
                return if !@peers || grep { $_->{state} ne 'drained' } @peers;
            }
            1
        } "$name to be drained", 60 or return;
    }
    return 1;
}

# No rule is left.
sub lift {
    my ($self) = @_;
    $self->{rules} = [];
    $self->drain($self->{clusters}[0]);
    for my $edge ($self->edges) {
        wait_for { !@{$edge->status->{tuning}{rules}} } 'no rule', 60;
    }
}

# ---- What they hold.

# { memory in kB, descriptors } of all workers of an edge.
sub sizes {
    my ($self, $edge) = @_;
    my %size = (memory => 0, descriptors => 0);
    for my $pid ($edge->workers) {
        open my $f, '<', "/proc/$pid/status" or next;
        my ($kb) = join('', <$f>) =~ /^VmRSS:\s+(\d+)/m;
        $size{memory} += $kb // 0;
        $size{descriptors} += () = glob "/proc/$pid/fd/*";
    }
    return \%size;
}

# What of the edges is larger than at the beginning by more than what kept
# connections and views take.
sub grown {
    my ($self) = @_;
    my @grown;
    for my $i (0 .. $#{$self->{edges}}) {
        my ($was, $is) = ($self->{size}[$i], $self->sizes($self->{edges}[$i]));
        my $peers = @{$self->{apps}} * $self->{nodes} * @{$self->{clusters}};
        my %most = (memory => $was->{memory} * 1.25 + 8192,
            descriptors => $was->{descriptors} + 40
                + 4 * $peers * $self->{t}{workers});
        push @grown, map { "edge $i: $_ $was->{$_} -> $is->{$_}" }
            grep { $is->{$_} > $most{$_} } sort keys %most;
    }
    return @grown;
}

1;
